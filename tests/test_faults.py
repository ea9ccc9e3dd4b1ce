"""A search whose workers and parents are killed at random keeps every promise about its trials.

`make fault-test` does the same with many more kills.
"""

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter

import mlflow
import optuna
import psutil
import pytest
from optuna.trial import FrozenTrial

from models.search import ABANDONED, FINISHED, RESUMES
from serving.bundle import open_bundle
from tests.conftest import Project, copy_project

KILLS = int(os.environ.get("FAULT_KILLS", "6"))  # of workers
ENDS = os.environ.get("FAULT_ENDS", "INT KILL").split()  # the signals that end the parents, one after the other
TRIALS = KILLS + 8
STAGE = (sys.executable, "-m", "pipeline.stages", "train", "iris")


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project whose data is prepared, with trials of a second."""
    made = copy_project(tmp_path_factory.mktemp("faults") / "project")

    def settings(params: dict) -> None:
        params["search"] |= {"n_trials": TRIALS, "workers": 2}
        params["train"] |= {"epochs": 40, "patience": 40}

    made.change_params(settings)
    for stage in ("fetch", "preprocess"):
        made.run(sys.executable, "-m", "pipeline.stages", stage, "iris")
    return made


class Search:
    """The training stage as a real process, in a group of its own."""

    def __init__(self, project: Project, name: str) -> None:
        self.log = project.folder.parent / name
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                STAGE, cwd=project.folder, env=project.environment(), stdout=log, stderr=log, start_new_session=True
            )

    def said(self) -> str:
        return self.log.read_text()

    def wait_for(self, text: str, times: int = 1, seconds: float = 120) -> None:
        end = time.monotonic() + seconds
        while self.said().count(text) < times:
            assert self.process.poll() is None, self.said()
            assert time.monotonic() < end, f"{text!r} was not said in time: {self.said()}"
            time.sleep(0.05)

    def trials(self) -> list[psutil.Process]:
        """The processes of the trials that run now: the children of the fork server."""
        try:
            servers = psutil.Process(self.process.pid).children()
            return [trial for server in servers for trial in server.children()]
        except psutil.NoSuchProcess:
            return []


def trials_of(project: Project) -> list[FrozenTrial]:
    storage = f"sqlite:///{project.folder / 'var/optuna.db'}"
    (name,) = optuna.get_all_study_names(storage)
    return optuna.load_study(study_name=name, storage=storage).get_trials()


def runs_of(project: Project, kind: str) -> list[mlflow.entities.Run]:
    client = mlflow.MlflowClient(f"sqlite:///{project.folder / 'var/mlflow.db'}")
    experiment = client.get_experiment_by_name("iris")
    assert experiment is not None
    return list(client.search_runs([experiment.experiment_id], f"tags.kind = '{kind}'", max_results=5000))


def counted(project: Project) -> dict[int, FrozenTrial]:
    return {t.number: t for t in trials_of(project) if t.state in FINISHED and not t.user_attrs.get(ABANDONED)}


def check_nothing_runs(project: Project, parent: str) -> None:
    assert not [trial.number for trial in trials_of(project) if trial.state.name == "RUNNING"]
    assert [run.info.status for run in runs_of(project, "study")] == [parent]
    assert {run.info.status for run in runs_of(project, "trial")} <= {"FINISHED", "FAILED", "KILLED"}


def wait_until_no_process_is_left(project: Project) -> None:
    left: list[psutil.Process] = []
    for _ in range(100):
        left = [p for p in psutil.process_iter(["cwd", "cmdline"]) if p.info["cwd"] == str(project.folder)]
        if not left:
            return
        time.sleep(0.1)
    raise AssertionError(f"these still run, 10 s later: {[p.info['cmdline'] for p in left]}")


@pytest.mark.timeout(900)
def test_a_search_whose_processes_are_killed_at_random_reaches_its_total_and_repeats_nothing(searched: Project) -> None:
    chance = random.Random(0)
    killed = 0

    def kill_workers(search: Search, until: int) -> None:
        nonlocal killed
        while killed < until:
            time.sleep(chance.uniform(0.1, 0.6))
            assert search.process.poll() is None, search.said()
            with contextlib.suppress(psutil.NoSuchProcess, IndexError):  # it ended meanwhile, or none runs
                chance.choice(search.trials()).kill()
                killed += 1

    before: dict[int, FrozenTrial] = {}
    search = Search(searched, "0.log")
    for number, end in enumerate(ENDS, 1):
        search.wait_for("  trial ", times=1)
        kill_workers(search, until=round(KILLS * number / len(ENDS)))
        next_one = None
        if end == "KILL":  # while a second search of the same study waits
            next_one = Search(searched, f"{number}.log")
            next_one.wait_for(f"is being searched by process {search.process.pid}; waiting for it to end")
        (os.killpg if end == "INT" else os.kill)(search.process.pid, signal.Signals[f"SIG{end}"])
        code = search.process.wait(timeout=20)
        assert code == {"INT": 130, "TERM": 143, "KILL": -9}[end]
        if end != "KILL":
            assert search.said().count("what is finished is kept: the same command goes on") == 1
            assert "Traceback" not in search.said()
            check_nothing_runs(searched, "KILLED")
        assert before.items() <= counted(searched).items()
        before = counted(searched)
        search = next_one or Search(searched, f"{number}.log")
    assert search.process.wait(timeout=300) == 0, search.said()
    assert killed == KILLS

    check_nothing_runs(searched, "FINISHED")
    finished = counted(searched)
    assert before.items() <= finished.items()
    assert len(finished) == TRIALS
    origins = Counter(trial.user_attrs.get(RESUMES, number) for number, trial in finished.items())
    assert set(origins.values()) == {1}
    logged = [run.data.tags for run in runs_of(searched, "trial")]
    assert sorted(int(tags["trial.number"]) for tags in logged if tags["trial.state"] != "abandoned") == sorted(
        finished
    )
    failed = [trial for trial in finished.values() if trial.state.name == "FAIL"]
    assert len(failed) >= KILLS - 2 * len(ENDS)  # the others were of a search that was killed before it heard of it
    assert all("SIGKILL" in trial.user_attrs["reason"] for trial in failed)

    best = min((trial for trial in finished.values() if trial.value is not None), key=lambda trial: trial.value or 0)
    manifest, _ = open_bundle(searched.folder / "artifacts/iris/candidates/1")
    assert manifest.trial == best.number
    assert manifest.validation["log_loss"] == best.value
    assert [path.name for path in searched.folder.rglob("unfinished-*")] == []
    wait_until_no_process_is_left(searched)
    print(
        f"{killed} workers and {len(ENDS)} parents were ended; {len(trials_of(searched))} trials, {len(finished)} count"
    )
