"""What a person types after a command: hostile names of datasets, ports that are none, names that look like markup."""

import fcntl
import inspect
import os
import shlex
import signal
import socket
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest.mock import patch

import pytest
import requests
from ruamel.yaml import YAML

from pipeline.commands import __main__ as commands
from pipeline.commands import repro
from pipeline.stages import __main__ as stages
from tests.pipeline.test_hostile_names import NAMES
from tests.serving.bundles import TICKETS, make_bundle
from tests.settings_files import ROOT, copy_settings

TAKE_A_DATASET = sorted(
    command.name or command.callback.__name__.replace("_", "-")
    for group in commands.app.registered_groups
    for command in group.typer_instance.registered_commands
    if "dataset" in inspect.signature(command.callback).parameters
)
MORE = {"study-export": ["--out", "x.csv"]}


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The settings, and the Bento of iris: what is not one."""
    copy_settings(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    bento = tmp_path / "artifacts/iris/iris.bento"
    bento.parent.mkdir(parents=True)
    bento.write_bytes(b"no Bento")
    return tmp_path


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    def runs(*words: str) -> tuple[int, str, str]:
        with patch("sys.argv", ["x", *words]):
            code = commands.main()
        return (code, *capsys.readouterr())

    return runs


def test_every_command_about_a_dataset_is_found() -> None:
    assert {"approve", "lineage", "promote", "retrain", "serve", "predict", "tune"} <= set(TAKE_A_DATASET)


@pytest.mark.parametrize("command", TAKE_A_DATASET)
def test_a_hostile_name_is_refused_before_anything_is_written(root: Path, run, command: str) -> None:
    before = set(root.parent.rglob("*"))
    for name in ("", "a\x1b[31m", *(NAMES if command == "serve" else NAMES[-1:])):
        code, said, refused = run(command, *MORE.get(command, []), "--", name)
        assert (code, said) == (2, "")
        (line,) = refused.splitlines()
        assert line.startswith(f"{command}: expected a dataset of catalog/ (")
        assert "\x1b" not in line
    assert set(root.parent.rglob("*")) == before


@pytest.mark.parametrize("port", ["70000", "-1", "abc", "1.5", ""])
@pytest.mark.parametrize("command", ["serve", "predict"])
def test_a_port_that_is_none_is_refused(root: Path, run, command: str, port: str) -> None:
    code, said, refused = run(command, "iris", "--port", port)
    assert (code, said) == (2, "")
    assert refused.count("Invalid value for '--port'") == 1
    assert "Traceback" not in refused


def test_a_dataset_whose_source_is_refused_leaves_the_others_to_run(root: Path, run, monkeypatch) -> None:
    calls = []

    def refuses_iris(datasets: list[str], *words: str) -> int:
        calls.append(words)
        return int("fetch@iris" in words)

    monkeypatch.setattr(repro, "run_dvc", refuses_iris)
    monkeypatch.setattr(repro, "_what_changed", lambda dataset: "source" if dataset == "iris" else None)
    code, said, _ = run("repro", "iris", "wine")
    assert code == 1
    assert calls[-1] == ("repro", "--keep-going", "evaluate@wine", "package@wine")
    assert said.endswith("The same command goes on with what is not done.\n")


def test_a_source_is_fetched_again_where_a_person_wants_it(root: Path, run, monkeypatch) -> None:
    calls = []
    monkeypatch.setattr(repro, "run_dvc", lambda datasets, *words: calls.append(words) or 1)
    monkeypatch.setattr(repro, "_what_changed", lambda dataset: None)
    for options in ([], ["--fetch-again"]):
        run("repro", *options, "iris")
    assert [words[-1] for words in calls] == ["package@iris", "fetch@iris"]
    assert "--force" in calls[1]


@pytest.fixture
def port() -> Iterator[int]:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        yield listening.getsockname()[1]


def test_a_worker_without_a_scheduler_ends_with_one_message(root: Path, run, port: int) -> None:
    with patch("os.execv"), patch("pipeline.commands.worker.WAIT_SECONDS", 0):
        code, _, refused = run("worker", "10.0.0.1")
        assert code == 2
        assert refused == "worker: SCHEDULER: expected an address as tcp://host:8786, received '10.0.0.1'\n"
        code, _, refused = run("worker", f"tcp://127.0.0.1:{port}")
        assert code == 2
        assert refused.startswith(f"worker: no Dask scheduler answers at tcp://127.0.0.1:{port}: start one with `make ")


def test_a_second_server_on_a_port_is_refused_while_the_first_one_starts(root: Path, run, port: int) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        other = free.getsockname()[1]
    folder = root / "var/serving"
    folder.mkdir(parents=True)
    with (folder / f"{other}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _, _, refused = run("serve", "iris", "--port", str(other))
    assert refused == f"serve: port {other}: another `make serve` has it; choose another one: PORT=3001\n"
    _, _, refused = run("serve", "iris", "--port", str(port))
    assert refused.startswith(f"serve: port {port}: Address already in use; choose another one: make serve ")
    _, _, refused = run("scheduler", "--port", str(port))
    assert refused.endswith("Address already in use; choose another one: make scheduler SCHEDULER_PORT=8787\n")
    _, _, refused = run("serve", "iris", "--port", "0")  # any that is free
    assert refused.startswith("serve: artifacts/iris/iris.bento is damaged: ")
    assert refused.count("\n") == 1


def test_names_and_values_that_look_like_markup_or_a_command_are_shown_as_they_are(root: Path, run) -> None:
    rows = "".join(f"{i * 7 % 31 / 3},[/b]{i % 2}\x1b[2J,{i * 5 % 17 / 3},{i % 2}\n" for i in range(60))
    (root / "a.csv").write_text(f"[/],[bold]b,c,it's $(touch FILE) y\n{rows}")
    code, said, refused = run("add-data", "mine", "a.csv")
    assert (code, refused) == (0, "")
    assert "[bold]b" in said
    assert r"[/b]0\x1b[2J" in said
    *_, last = said.splitlines()
    assert shlex.split(last)[-3:] == ["NAME=mine", "SOURCE=a.csv", "TARGET=it's $(touch FILE) y"]
    code, said, refused = run("add-data", "mine", "a.csv", "it's $(touch FILE) y")
    assert (code, refused) == (0, "")
    assert "\x1b" not in said
    entry = YAML(typ="safe").load(root / "catalog/mine.yaml")
    assert entry["data"]["target"] == "it's $(touch FILE) y"


@pytest.mark.parametrize("has_filter", [True, False], ids=["tarfile filters", "Python 3.11.3 or older"])
@pytest.mark.parametrize("kind", ["../../../outside", "link"])
def test_a_bento_with_a_member_that_leads_out_is_refused(
    root: Path, run: Callable, monkeypatch: pytest.MonkeyPatch, kind: str, has_filter: bool
) -> None:
    if not has_filter:
        monkeypatch.delattr("tarfile.data_filter", raising=False)
    with tarfile.open(root / "artifacts/iris/iris.bento", "w:xz") as archive:
        member = tarfile.TarInfo(kind)
        if kind == "link":
            member.type, member.linkname = tarfile.SYMTYPE, "/etc"
        archive.addfile(member)
    code, _, refused = run("serve", "iris", "--port", "0")
    assert code == 2
    assert refused.startswith("serve: artifacts/iris/iris.bento is damaged: ")
    assert refused.count("\n") == 1
    assert not list(root.rglob("outside"))


@pytest.mark.parametrize("stage", ["evaluate", "package"])
@pytest.mark.parametrize("file", ["model.onnx", "schema.json", "manifest.json"])
def test_a_damaged_bundle_ends_a_stage_in_one_message(
    root: Path, capsys: pytest.CaptureFixture[str], stage: str, file: str
) -> None:
    bundle = root / "artifacts/iris/bundle"
    make_bundle(TICKETS, bundle)
    content = (bundle / file).read_bytes()
    (bundle / file).write_bytes(content[: len(content) // 2])
    with patch("sys.argv", ["stages", stage, "--dataset", "iris"]):
        assert stages.main() == 2
    said, refused = capsys.readouterr()
    (line,) = refused.splitlines()
    assert said == ""
    assert line.startswith(f"{stage} iris: artifacts/iris/bundle/{file} ")


@pytest.mark.parametrize(
    ("command", "imported"),
    [("pipeline.commands", "typer"), ("pipeline.stages", "pydantic"), ("serving.batch", "pyarrow")],
)
def test_ctrl_c_during_the_imports_of_a_command_gives_no_stack_trace(
    tmp_path: Path, command: str, imported: str
) -> None:
    (tmp_path / f"{imported}.py").write_text("import os, signal; os.kill(os.getpid(), signal.SIGINT)")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    ended = subprocess.run([sys.executable, "-m", command], cwd=ROOT, env=environment, capture_output=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (-signal.SIGINT, b"", b"")


@pytest.mark.parametrize(
    ("status", "answer", "told"),
    [
        (200, '{"predictions": ["שלום"], "model": {"name": "iris", "version": "1"}}', ""),
        (200, '{"predictions": [], "model": {"name": "wine", "version": "1"}}',
         "predict: port 3000: expected the service of iris, received an answer of wine: run `make serve DATASET=iris "),
        (200, "<html>", "received an answer of another program"),
        (501, "<html>", "received an answer of another program"),
        (200, "[3]", "received an answer of another program"),
        (400, '{"detail": "no"}', "predict: the service answered 400; does it serve iris?"),
    ],
)  # fmt: skip
def test_an_answer_of_another_model_or_program_is_told(root: Path, run, status: int, answer: str, told: str) -> None:
    make_bundle(TICKETS, root / "artifacts/iris/bundle")
    received = requests.Response()
    received.status_code, received._content = status, answer.encode()
    with patch("requests.post", return_value=received):
        code, said, refused = run("predict", "iris")
    assert code == (2 if told else 0)
    assert told in refused
    assert ("שלום" in said) == (not told)


@pytest.mark.parametrize("host", ["nowhere.invalid", "192.0.2.1"])
def test_a_host_that_is_not_this_machine_is_not_told_as_a_port(root: Path, run, host: str) -> None:
    code, _, refused = run("scheduler", "--host", host)
    assert code == 2
    assert refused == f"scheduler: HOST: expected an address of this machine, received '{host}'\n"


@pytest.mark.parametrize("file", ["schema.json", "train.parquet", "validation.parquet"])
@pytest.mark.parametrize("command", ["references", "lr-range", "study-export"])
def test_a_prepared_file_that_was_removed_is_told(root: Path, run, command: str, file: str) -> None:
    prepared = root / "data/prepared/iris"
    prepared.mkdir(parents=True)
    for name in ("schema.json", "train.parquet", "validation.parquet"):
        if name != file:
            (prepared / name).touch()
    code, _, refused = run(command, "iris", *MORE.get(command, ()))
    assert code == 2
    assert refused.startswith(f"{command}: data/prepared/iris/{file} is missing: ")
