"""The training stage as a real process, and what it leaves in the stores."""

import subprocess
import sys
import time

import mlflow
import optuna
import psutil
from optuna.trial import FrozenTrial

from models.search.study import ABANDONED, FINISHED
from tests.projects import Project

STAGE = (sys.executable, "-m", "pipeline.stages", "train", "--dataset", "iris")


class Process:
    """A command in a group of its own, with what it says in a file beside the project."""

    def __init__(self, project: Project, name: str, *command: str, **variables: str) -> None:
        self.log = project.folder.parent / name
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                command, cwd=project.folder, env=project.environment() | variables,
                stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    def said(self) -> str:
        return self.log.read_text()

    def wait_for(self, text: str, times: int = 1, seconds: float = 120) -> None:
        end = time.monotonic() + seconds
        while self.said().count(text) < times:
            assert self.process.poll() is None, self.said()
            assert time.monotonic() < end, f"{text!r} was not said in time: {self.said()}"
            time.sleep(0.05)

    def trials(self) -> list[psutil.Process]:
        """The processes of the trials that run now: the children of the fork server but for the one that waits for
        the next trial, in which TensorFlow has no threads yet.
        """
        try:
            servers = psutil.Process(self.process.pid).children()
            return [trial for server in servers for trial in server.children() if trial.num_threads() > 4]
        except psutil.NoSuchProcess:
            return []


class Stores:
    """A study of iris and its runs, as they are now."""

    def __init__(self, studies: str, runs: str) -> None:
        self.studies, self.client = studies, mlflow.MlflowClient(runs)

    def trials(self) -> list[FrozenTrial]:
        (name,) = optuna.get_all_study_names(self.studies)
        return optuna.load_study(study_name=name, storage=self.studies).get_trials()

    def runs(self, kind: str) -> list[mlflow.entities.Run]:
        experiment = self.client.get_experiment_by_name("iris")
        assert experiment is not None
        return list(self.client.search_runs([experiment.experiment_id], f"tags.kind = '{kind}'", max_results=5000))

    def counted(self) -> dict[int, FrozenTrial]:
        return {t.number: t for t in self.trials() if t.state in FINISHED and not t.user_attrs.get(ABANDONED)}

    def check_nothing_runs(self, parent: str) -> None:
        assert not [trial.number for trial in self.trials() if trial.state.name == "RUNNING"]
        assert [run.info.status for run in self.runs("study")] == [parent]
        assert {run.info.status for run in self.runs("trial")} <= {"FINISHED", "FAILED", "KILLED"}

    def check_each_is_logged_once(self) -> None:
        logged = [run.data.tags for run in self.runs("trial")]
        numbers = [int(tags["trial.number"]) for tags in logged if tags["trial.state"] != "abandoned"]
        assert sorted(numbers) == sorted(self.counted())


def stores_of(project: Project) -> Stores:
    return Stores(*(f"sqlite:///{project.folder / 'var' / name}" for name in ("optuna.db", "mlflow.db")))
