"""Search spaces, plans, and a search through them whose trials take no time."""

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import optuna

from contracts.metrics import BY_NAME, Metric
from contracts.settings.load import Params, load_params
from models.search.plan import Plan, plan_search
from models.search.run import run_study
from models.search.study import open_study
from models.search.trial import TrialFiles, TrialResult
from models.search.workers.events import Done, Progress, Stopped
from models.training.data import Data

ROOT = Path(__file__).parents[2]
SMALL = {
    "depth": {"type": "int", "low": 1, "high": 3},
    "dropout": {"type": "float", "low": 0.0, "high": 0.3, "step": 0.1},
    "optimizer": {"type": "categorical", "choices": ["adam", "sgd"]},
    "momentum": {"type": "categorical", "choices": [0.0, 0.9], "when": {"optimizer": "sgd"}},
    "width": 16, "activation": "relu", "learning_rate": 0.001, "batch_size": 32,
}  # fmt: skip
PLAIN = {**SMALL, "depth": 2, "momentum": 0.9, "optimizer": "sgd",
         "dropout": {"type": "float", "low": 0.0, "high": 0.9},
         "learning_rate": {"type": "float", "low": 1e-5, "high": 1.0, "log": True}}  # fmt: skip
MIXED = {**PLAIN, "depth": {"type": "int", "low": 1, "high": 3, "log": True}, "optimizer": SMALL["optimizer"],
         "momentum": {"type": "float", "low": 0.0, "high": 0.99, "when": {"optimizer": "sgd"}},
         "width": {"type": "int", "low": 16, "high": 64, "layers": "own"}}  # fmt: skip


class Instant:
    """In the place of a pool: a bowl in the logarithm of the learning rate, the dropout and the depth."""

    def __init__(self, epochs: int = 1) -> None:
        self.jobs, self.epochs, self.trained, self.stopped = [], epochs, [], []

    def __len__(self) -> int:
        return len(self.jobs)

    def room(self) -> int:
        return 1

    def start(self, job, function, task, save_to, limit) -> None:
        self.jobs.append((job, task))
        self.trained.append(task.hyperparameters)

    def events(self, seconds) -> Iterator:
        job, task = self.jobs.pop(0)
        chosen = task.hyperparameters
        value = (math.log10(chosen["learning_rate"]) + 2) ** 2 + chosen["dropout"] + 0.1 * chosen["depth"]
        for epoch in range(self.epochs):
            progress = Progress(job, epoch, value + 0.01 * epoch)
            yield progress
            if job.number in self.stopped:
                yield Stopped(job)
                return
        size = 10 * chosen["width"] if isinstance(chosen["width"], int) else 100
        yield Done(job, TrialResult(value, 0, {}, size, 0.0, 1, (value,)))

    def answer(self, progress, go_on) -> None:
        if not go_on:
            self.stopped.append(progress.job.number)

    def close(self) -> list:
        return []


def plan_of(settings: Params, metric: Metric = BY_NAME["log_loss"], **changes) -> Plan:
    """The plan of settings, for data that no test reads."""
    return replace(plan_search(settings, settings.source.task, metric, "study", {}, cores=1), **changes)


def iris(**changes) -> Params:
    """The settings of iris, some of its search changed without being checked."""
    params = load_params(ROOT / "params.yaml", "iris")
    return params.model_copy(update={"search": params.search.model_copy(update=changes)})


def search(tmp_path: Path, plan: Plan, pool: Instant | None = None, name: str = "study"):
    """Search in the database of that name, or in memory."""
    study = open_study(plan, f"sqlite:///{tmp_path / name}.db" if name else optuna.storages.InMemoryStorage())
    ends: list[tuple[str, str]] = []
    run_study(
        study, plan, Data(tmp_path, tmp_path), Instant() if pool is None else pool, TrialFiles(tmp_path),
        lambda trial, state, result, reason: ends.append((state, reason)),
    )  # fmt: skip
    return study, ends
