"""A folder of parts, predicted by the workers of a Dask cluster: a real scheduler and workers, as processes."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pandas as pd
import psutil
import pytest
from bento_servers import ROOT
from request_bodies import GOOD

from contracts.files import md5
from serving.batch.__main__ import main
from serving.batch.parts import COMMIT
from tests.ports import free_port

PARTS, ROWS = 12, 20_000


def wait_until(happened, what: str) -> None:
    deadline = time.monotonic() + 60
    while not happened():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


def end(process: subprocess.Popen) -> None:
    """SIGKILL, also for what would start it again."""
    for member in [*psutil.Process(process.pid).children(recursive=True), process]:
        member.kill()
    process.wait()


@pytest.fixture(scope="module")
def cluster() -> Iterator[tuple[str, list[subprocess.Popen]]]:
    """The address of a scheduler, and its two workers, as `make scheduler` and `make worker` start them."""
    port = str(free_port())
    address = f"tcp://127.0.0.1:{port}"
    scheduler = ("distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", port, "--no-dashboard")
    worker = ("pipeline.commands", "worker", address, "--trials-at-once", "1")
    with ExitStack() as stack:
        processes = []
        for command in (scheduler, worker, worker):
            process = subprocess.Popen([sys.executable, "-m", *command], cwd=ROOT, stderr=subprocess.DEVNULL)
            stack.callback(lambda process=process: end(process) if process.poll() is None else None)
            processes.append(process)
        yield address, processes[1:]


def test_a_worker_that_is_killed_costs_its_part_only_and_the_predictions_are_those_of_one_machine(
    cluster: tuple[str, list[subprocess.Popen]], bundles: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    address, (victim, _) = cluster
    parts, out, alone = tmp_path / "parts", tmp_path / "out", tmp_path / "alone"
    parts.mkdir()
    pd.DataFrame([GOOD | {"age": float(n % 80)} for n in range(ROWS)]).to_csv(parts / "00.csv", index=False)
    for number in range(1, PARTS):
        (parts / f"{number:02}.csv").write_bytes((parts / "00.csv").read_bytes())
    command = [str(bundles / "tickets"), str(parts), str(out), "--scheduler", address]
    with subprocess.Popen([sys.executable, "-m", "serving.batch", *command], cwd=ROOT) as running:
        wait_until(lambda: len(list(out.glob("0*.parquet"))) >= 3, "no part is finished")
        end(victim)
        finished = {path: path.stat().st_ino for path in out.glob("*.parquet")}
        assert len(finished) < PARTS
        assert running.wait(60) == 0
    assert f"{PARTS * ROWS:,} rows of {PARTS} parts predicted" in capfd.readouterr().out
    assert main(command) == 0
    assert f"{PARTS} of them before this run" in capfd.readouterr().out
    assert {path: path.stat().st_ino for path in finished} == finished
    assert main([str(bundles / "tickets"), str(parts), str(alone)]) == 0
    assert {path.name: md5(path) for path in out.iterdir()} == {path.name: md5(path) for path in alone.iterdir()}
    assert json.loads((out / COMMIT).read_text())["rows"] == PARTS * ROWS


def test_what_a_worker_or_a_cluster_refuses_is_one_message(
    cluster: tuple[str, list[subprocess.Popen]], bundles: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr("serving.batch.cluster.CONNECT_TIMEOUT", 0.5)
    parts, out = tmp_path / "parts", tmp_path / "out"
    parts.mkdir()
    (parts / "0.csv").write_text("age,fare paid,port,deck\nold,7.25,Southampton,A\n")

    def said(source: Path, scheduler: str) -> str:
        assert main([str(bundles / "tickets"), str(source), str(out), "--scheduler", scheduler]) == 2
        return capsys.readouterr().err

    assert said(parts, cluster[0]).startswith("predict-file: 0.csv: line 2, column 'age': expected a number")
    assert list(out.iterdir()) == []
    assert "expected a folder of parts for IN" in said(parts / "0.csv", cluster[0])
    assert "no Dask scheduler answers at tcp://127.0.0.1:1: start one" in said(parts, "tcp://127.0.0.1:1")
