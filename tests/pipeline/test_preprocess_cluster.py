"""preprocess on a Dask cluster, for real on this machine: a scheduler and workers as processes of their own."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from distributed import Client

from contracts.errors import UserError
from pipeline.paths import Paths
from pipeline.stages import fetch, preprocess
from pipeline.streaming import cluster
from tests.pipeline.streamed import ROWS, STREAMED, mixed, settings, write_parquet
from tests.ports import free_port

ROOT = Path(__file__).parents[2]
FILES = ("train.parquet", "validation.parquet", "test.parquet", "schema.json")
PORT = free_port()
Process = subprocess.Popen[bytes]
Start = Callable[..., Process]

pytestmark = [pytest.mark.usefixtures("small_batches", "no_report"), pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def start() -> Iterator[Start]:
    started: list[Process] = []

    def run(*command: str) -> Process:
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        command = (sys.executable, "-m", *command)
        started.append(subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL, start_new_session=True))
        return started[-1]

    yield run
    for process in started:
        kill(process)


def kill(process: Process) -> None:
    """A worker, and the processes that it has started."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.fixture(scope="module")
def scheduler(start: Start) -> Process:
    return start("distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", str(PORT), "--no-dashboard")


@pytest.fixture(scope="module")
def address(scheduler: Process) -> str:
    while True:
        with socket.socket() as probe:
            if not probe.connect_ex(("127.0.0.1", PORT)):
                return f"tcp://127.0.0.1:{PORT}"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def workers(start: Start, address: str) -> list[Process]:
    """Three workers with one core each, which the scheduler knows."""
    started = [start("pipeline.commands", "worker", address, "--trials-at-once", "1") for _ in range(3)]
    with Client(address, set_as_default=False) as client:
        client.wait_for_workers(3, timeout=60)
    return started


def prepare(name: str, scheduler: str | None) -> dict[str, bytes]:
    """The files that preprocess writes of the raw table."""
    usual = settings(STREAMED)
    changed = settings(STREAMED, preprocess=usual.preprocess.model_copy(update={"scheduler": scheduler}))
    paths = Paths("mine", root=Path(name))
    fetch.run(changed, paths)
    preprocess.run(changed, paths)
    return {name: (paths.prepared / name).read_bytes() for name in FILES}


@pytest.fixture
def kill_amid(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """What makes a process be killed when a quarter of the rows, or of the columns, is done."""
    whole = cluster.on_cluster
    monkeypatch.setattr("pipeline.tables.BATCH", ROWS // 48)

    def kill_later(**of_tasks: Process) -> None:
        def killing(address: str, path: Path, function: Callable, pieces: Sequence, tasks: str) -> Iterator:
            for number, result in enumerate(whole(address, path, function, pieces, tasks)):
                if number == len(pieces) // 4:
                    kill(of_tasks.pop(tasks))
                yield result
            assert number == len(pieces) - 1

        monkeypatch.setattr(cluster, "on_cluster", killing)

    return kill_later


def test_a_worker_that_is_killed_costs_its_parts_and_the_files_are_those_of_one_machine(
    workers: list[Process], address: str, kill_amid: Callable[..., None]
) -> None:
    write_parquet(mixed())
    kill_amid(rows=workers[0], columns=workers[1])
    assert prepare("cluster", address) == prepare("here", None)
    assert [worker.poll() for worker in workers] == [-signal.SIGKILL, -signal.SIGKILL, None]


@pytest.mark.usefixtures("workers")
def test_a_worker_with_another_file_is_named(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    write_parquet(mixed())
    monkeypatch.setattr(cluster, "_mark", lambda _: cluster.Mark(1, "of another file"))
    with pytest.raises(
        UserError,
        match=r"preprocess\.scheduler: expected .*data\.parquet, as this machine has it, on every worker, received at "
        r"tcp://127\.0\.0\.1:\d+: a file of [\d,]+ bytes with another content: start the workers in this folder",
    ):
        prepare("mine", address)
    assert not list(Paths("mine", root=Path("mine")).prepared.iterdir())


def test_a_scheduler_that_does_not_answer_is_one_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.search.workers.connection.CONNECT_TIMEOUT", 0.2)
    write_parquet(mixed())
    with pytest.raises(UserError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:1 \(preprocess\.scheduler\)"):
        prepare("mine", "tcp://127.0.0.1:1")


@pytest.mark.usefixtures("workers")
def test_a_scheduler_that_ends_is_one_message_and_no_file_is_left(
    scheduler: Process, address: str, kill_amid: Callable[..., None]
) -> None:
    write_parquet(mixed())
    kill_amid(rows=scheduler)
    with pytest.raises(UserError, match=rf"the Dask scheduler at {address} is gone: start it and its workers again"):
        prepare("mine", address)
    assert not list(Paths("mine", root=Path("mine")).prepared.iterdir())
