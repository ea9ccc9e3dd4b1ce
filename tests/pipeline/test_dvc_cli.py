"""DVC over datasets that params.yaml does not list: they run, and what exists stays. On a toy pipeline."""

import contextlib
import io
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]
PARAMS = "datasets:  # which\n- a\nscale: 1  # a number\n"
PIPELINE = """
stages:
  make:
    matrix:
      dataset: ${datasets}
    cmd: python make.py pipeline.stages ${item.dataset}
    params:
      - scale
      - catalog/${item.dataset}.yaml:
    outs:
      - data/${item.dataset}
      - metrics/${item.dataset}.json:
          cache: false
"""
STAGE = """
import json, pathlib, sys, time
name = sys.argv[2]
print("made", name, flush=True)
time.sleep(60 if name == "slow" else 0)
if name == "wrong":
    sys.exit(2)
for path, content in ((f"data/{name}", name), (f"metrics/{name}.json", '{"value": 1}')):
    pathlib.Path(path).parent.mkdir(exist_ok=True)
    pathlib.Path(path).write_text(content)
"""


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working copy in which `a` is listed, and the others have a file in the catalog alone."""
    made = tmp_path_factory.mktemp("toy")
    (made / "catalog").mkdir()
    for name in ("a", "b", "slow", "wrong"):
        (made / f"catalog/{name}.yaml").write_text(f"data: {name}\n")
    for name, content in (("params.yaml", PARAMS), ("dvc.yaml", PIPELINE), ("make.py", STAGE), (".gitignore", "/data")):
        (made / name).write_text(content)
    for command in (
        "git init -q", "git config user.name tests", "git config user.email tests@localhost", "dvc init -q",
        "git add -A", "git commit -q -m toy",
    ):  # fmt: skip
        subprocess.run(command.split(), cwd=made, check=True)
    return made


@pytest.fixture
def folder(toy: Path, tmp_path: Path) -> Path:
    return shutil.copytree(toy, tmp_path, dirs_exist_ok=True)


@pytest.fixture
def start(folder):
    """Start `repro` of these datasets in a process group of its own, ended with the test."""
    started = []

    def start(*datasets: str) -> subprocess.Popen:
        targets = [f"make@{name}" for name in datasets]
        program = (
            "import sys; from pipeline.dvc_cli import run_dvc, working_copy\n"
            f"with working_copy(): code = run_dvc({list(datasets)}, 'repro', '--keep-going', *{targets})\n"
            "sys.exit(code)"
        )
        started.append(
            subprocess.Popen(
                [sys.executable, "-c", program], cwd=folder, text=True, start_new_session=True,
                env={**os.environ, "PYTHONPATH": str(ROOT), "DVC_ROOT": str(folder)},
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            )
        )  # fmt: skip
        return started[-1]

    yield start
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def wait_for(process: subprocess.Popen, text: str) -> None:
    for line in process.stdout or ():
        if text in line:
            return
    raise AssertionError(f"it ended without {text!r}")


def made(folder: Path) -> set[str]:
    return {path.name for path in (folder / "data").iterdir()} & {path.stem for path in (folder / "metrics").iterdir()}


def stages_in_lock(folder: Path) -> set[str]:
    return set(YAML(typ="safe").load(folder / "dvc.lock")["stages"])


def test_one_dataset_more_leaves_the_others_and_the_settings(folder, start) -> None:
    subprocess.run(["dvc", "repro", "-q"], cwd=folder, check=True)
    said = start("b").communicate()[0]
    assert "made b" in said
    assert "made a" not in said
    assert (folder / "params.yaml").read_text() == PARAMS
    assert stages_in_lock(folder) == {"make@a", "make@b"}
    written = io.StringIO()
    YAML().dump(YAML().load(folder / "dvc.lock"), written)
    assert (folder / "dvc.lock").read_text() == written.getvalue(), "a plain run of DVC finds its own form"
    # An experiment begins with `dvc checkout`, which removes what DVC made and no stage has. The lock is not committed.
    done = subprocess.run(
        ["dvc", "exp", "run", "-S", "scale=2"], cwd=folder, check=True, capture_output=True, text=True
    )
    assert "made a" in done.stdout
    assert made(folder) == {"a", "b"}
    assert stages_in_lock(folder) == {"make@a", "make@b"}
    assert (folder / "params.yaml").read_text() == PARAMS.replace("1", "2")
    assert "made b" in start("b").communicate()[0], "its parameter has changed"
    assert "made" not in start("a", "b").communicate()[0]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_stage_and_dvc(folder, start, number: int) -> None:
    running = start("slow", "b")
    wait_for(running, "made slow")
    if number == signal.SIGINT:
        os.killpg(running.pid, number)  # Ctrl-C reaches the stage too
    else:
        running.send_signal(number)
    said = running.communicate(timeout=20)[0]
    assert running.returncode == 130
    assert "interrupted by the user" in said
    assert "made b" not in said, "no other stage starts"
    assert not (folder / "data").exists()


def test_a_stage_that_fails_leaves_the_others_to_run(folder, start) -> None:
    said = start("wrong", "b").communicate(timeout=60)[0]
    assert said.index("failed to run: python make.py pipeline.stages wrong") < said.index("made b")
    assert "failed to reproduce 'make@wrong'" in said
    assert made(folder) == {"b"}


def test_a_second_run_in_the_same_working_copy_waits(folder, start) -> None:
    first = start("slow")
    wait_for(first, "made slow")
    second = start("b")
    wait_for(second, f"this working copy is in use by process {first.pid}; waiting for it to end")
    assert not (folder / "data/b").exists()
    first.send_signal(signal.SIGTERM)
    first.communicate(timeout=20)
    assert "made b" in second.communicate(timeout=60)[0]


def test_a_run_beside_plain_dvc_says_who_is_busy_and_changes_nothing(folder, start) -> None:
    (folder / "params.yaml").write_text(PARAMS.replace("- a", "- slow"))
    plain = subprocess.Popen(
        ["dvc", "repro"], cwd=folder, text=True, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    try:
        wait_for(plain, "made slow")
        late = start("slow")
        said = late.communicate(timeout=60)[0]
        assert late.returncode == 1
        assert "failed to reproduce 'make@slow'" in said
        assert f"is busy, it is being blocked by:\n  (PID {plain.pid}): " in said
        assert "Traceback" not in said
        assert not (folder / "dvc.lock").exists()
    finally:
        os.killpg(plain.pid, signal.SIGKILL)
        plain.wait()
