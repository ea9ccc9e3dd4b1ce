"""Stages of a run in forks of one process: they end as stages that are started do."""

import os
import shutil
import signal

import psutil
import pytest

from pipeline.dvc_cli import Forks
from tests.projects import COMMANDS
from tests.stage_process import Process

IRIS = ["--dataset", "iris"]


def test_a_stage_in_a_fork_does_its_work_and_tells_how_it_ended(prepared) -> None:
    schema = prepared.folder / "data/prepared/iris/schema.json"
    before = schema.read_text()
    schema.unlink()
    environment = prepared.environment()
    forks = Forks(str(prepared.folder), environment)
    try:
        assert forks.run(["preprocess", *IRIS], environment) == 0
        assert schema.read_text() == before
        assert forks.run(["evaluate", *IRIS], environment) == 2, "its input is missing"
        assert forks.run(["package", *IRIS], environment) is None, "it needs a process of its own"
        code = prepared.folder / "pipeline/data/bins.py"
        os.utime(code)
        assert forks.run(["preprocess", *IRIS], environment) is None, "its code has changed"
        forks.process.kill()
        assert forks.run(["preprocess", *IRIS], environment) == 128 + signal.SIGKILL
    finally:
        forks.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_forked_stage_and_everything_that_runs_for_it(prepared, number: int) -> None:
    (prepared.folder / "dvc.lock").unlink(missing_ok=True)
    shutil.rmtree(prepared.folder / ".dvc/cache", ignore_errors=True)
    running = Process(prepared, f"{number}.log", *COMMANDS, "repro")
    running.wait_for("Running stage 'train@iris'")
    running.wait_for("trial 1/")
    started = psutil.Process(running.process.pid).children(recursive=True)
    assert any("pipeline.stages.forked" in process.cmdline() for process in started)
    if number == signal.SIGINT:
        os.killpg(running.process.pid, number)  # Ctrl-C reaches everything that runs
    else:
        running.process.send_signal(number)
    assert running.process.wait(20) == 1
    assert "train iris: ended by a signal; what is finished is kept: the same command goes on" in running.said()
    assert "failed to reproduce 'train@iris'" in running.said()
    assert "Traceback" not in running.said()
    assert not psutil.wait_procs(started, timeout=10)[1]
