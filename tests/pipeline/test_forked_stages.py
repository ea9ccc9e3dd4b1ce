"""Stages of a run in forks of one process: they end as stages that are started do."""

import contextlib
import os
import signal
import sys
import time

import psutil
import pytest

from pipeline.dvc_cli import FORKED, Forks
from tests.projects import COMMANDS, Project, copy_project
from tests.stage_process import Process, stores_of

IRIS = ["--dataset", "iris"]


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return copy_project(tmp_path_factory.mktemp("forked") / "project")


def wait_until_it_trains(running: Process) -> list[psutil.Process]:
    """The processes of a run, once the one for its first trial is there."""
    end = time.monotonic() + 60
    while True:
        with contextlib.suppress(psutil.NoSuchProcess):  # one that ends meanwhile
            children = psutil.Process(running.process.pid).children()
            for forks in [child for child in children if FORKED in child.cmdline()]:
                servers = [child for child in forks.children() if FORKED not in child.cmdline()]
                if any(server.children() for server in servers):
                    return [forks, *forks.children(recursive=True)]
        assert time.monotonic() < end, running.said()
        time.sleep(0.05)


def still_running(started: list[psutil.Process]) -> list[psutil.Process]:
    """Those that run after ten seconds; a process without a parent may be left as a zombie."""
    return [left for left in psutil.wait_procs(started, timeout=10)[1] if left.status() != psutil.STATUS_ZOMBIE]


def test_sigterm_ends_a_run_with_its_forked_stage(copy: Project) -> None:
    running = Process(copy, "terminated.log", *COMMANDS, "repro")
    started = wait_until_it_trains(running)
    running.process.send_signal(signal.SIGTERM)
    assert running.process.wait(20) == 130
    assert "train iris: ended by a signal; what is finished is kept: the same command goes on" in running.said()
    assert "interrupted by the user" in running.said()
    assert "Traceback" not in running.said()
    assert not still_running(started)


def test_a_stage_that_waits_for_the_imports_ends_with_their_signal(copy: Project) -> None:
    forks = Forks(str(copy.folder), copy.environment())
    forks.process.send_signal(signal.SIGINT)
    assert forks.run(["fetch", *IRIS], {}) == 128 + signal.SIGINT
    forks.close()


def test_ctrl_c_while_modules_are_imported_ends_the_process_without_a_stack_trace(copy: Project) -> None:
    importing = Process(copy, "importing.log", sys.executable, "-m", FORKED, "0", "1")
    while not any("pyarrow" in mapped.path for mapped in psutil.Process(importing.process.pid).memory_maps()):
        time.sleep(0.02)
    importing.process.send_signal(signal.SIGINT)
    assert importing.process.wait(10) == -signal.SIGINT
    assert "Traceback" not in importing.said()


PROGRAM = f"""
import os, signal
from pipeline.dvc_cli import Forks, end_stage
forks = Forks(".", dict(os.environ))
def run(stage, **variables):
    print(stage, forks.run([stage, *{IRIS}], dict(os.environ) | variables), flush=True)
run("fetch")
run("preprocess", MPLBACKEND="agg")
run("evaluate")
run("package")
try:
    end_stage(signal.SIGTERM, None)
except SystemExit as end:
    print("between two stages", end)
run("train")
os.utime("contracts/schema.py")
run("preprocess")
forks.process.kill()
run("preprocess")
"""
ENDS = [
    "fetch 0", "preprocess 0",
    "evaluate 2",  # its input is missing
    "package None",  # it needs a process of its own
    "between two stages 143",
    "train 130",
    "preprocess None",  # its code has changed
    "preprocess 137",
]  # fmt: skip


def test_a_stage_in_a_fork_does_its_work_tells_how_it_ended_and_ends_by_ctrl_c(copy: Project) -> None:
    running = Process(copy, "interrupted.log", sys.executable, "-c", PROGRAM)
    started = wait_until_it_trains(running)
    os.killpg(running.process.pid, signal.SIGINT)  # it reaches everything that runs
    assert running.process.wait(20) == 0, running.said()
    assert [line for line in running.said().splitlines() if line in ENDS] == ENDS, running.said()
    assert (copy.folder / "data/prepared/iris/schema.json").exists()
    assert "train iris: ended by a signal" in running.said()
    assert "Traceback" not in running.said()
    assert not still_running(started)
    stores_of(copy).check_nothing_runs("KILLED")
