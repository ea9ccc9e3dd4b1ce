"""Stages of a run in forks of one process: they end as stages that are started do."""

import contextlib
import os
import signal
import sys
import time
from collections.abc import Iterator

import psutil
import pytest

from pipeline.dvc_cli import FORKED, Forks, end_stage
from tests.projects import COMMANDS, Project, copy_project
from tests.stage_process import Process

IRIS = ["--dataset", "iris"]


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return copy_project(tmp_path_factory.mktemp("forked") / "project")


@pytest.fixture
def forks(copy: Project) -> Iterator[Forks]:
    started = Forks(str(copy.folder), copy.environment())
    yield started
    started.close()


def test_a_stage_in_a_fork_does_its_work_and_tells_how_it_ended(copy: Project, forks: Forks) -> None:
    environment = copy.environment()
    assert forks.run(["fetch", *IRIS], environment) == 0
    assert forks.run(["preprocess", *IRIS], environment | {"MPLBACKEND": "agg"}) == 0
    assert (copy.folder / "data/prepared/iris/schema.json").exists()
    assert forks.run(["evaluate", *IRIS], environment) == 2, "its input is missing"
    assert forks.run(["package", *IRIS], environment) is None, "it needs a process of its own"
    with pytest.raises(SystemExit, match="143"):  # SIGTERM between two stages
        end_stage(signal.SIGTERM, None)
    os.utime(copy.folder / "contracts/schema.py")
    assert forks.run(["preprocess", *IRIS], environment) is None, "its code has changed"
    forks.process.kill()
    assert forks.run(["preprocess", *IRIS], environment) == 128 + signal.SIGKILL


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


def test_ctrl_c_ends_a_forked_stage(copy: Project) -> None:
    program = (
        "import os; from pipeline.dvc_cli import Forks\n"
        f"print('it ended with', Forks('.', dict(os.environ)).run(['train', *{IRIS}], dict(os.environ)))"
    )
    running = Process(copy, "interrupted.log", sys.executable, "-c", program)
    started = wait_until_it_trains(running)
    os.killpg(running.process.pid, signal.SIGINT)  # it reaches everything that runs
    assert running.process.wait(20) == 0
    assert "train iris: ended by a signal" in running.said()
    assert "it ended with 130" in running.said()
    assert "Traceback" not in running.said()
    assert not still_running(started)
