"""A trial as data that passes between processes: its task, its result, and its files."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna

from contracts.settings.sections import Train
from models.training.data import Data


@dataclass(frozen=True)
class TrialTask:
    """Everything that decides what a trial trains, so that it can be trained again.

    `teacher` is a saved network whose predictions take the place of the train targets.
    """

    data: Data
    hyperparameters: dict[str, Any]
    seed: int
    monitor: str
    higher_is_better: bool
    train: Train
    report_every: int
    threads: int
    checkpoint: Path | None = None
    folds: int = 1
    reports_mean: bool = True  # whether a report has the mean of the folds so far; else it has the fold's own value
    measures_latency: bool = False
    teacher: Path | None = None

    @property
    def function(self) -> str:
        """The name of the function in `models.search.train_trial` that trains it."""
        return "train" if self.folds == 1 else "train_folds"


@dataclass(frozen=True)
class TrialResult:
    """The result of a finished trial: the value of its best epoch, the figures of all epochs, size and seconds.

    With folds `value` is the mean of theirs. `latency` is the seconds for one row, if they are measured.
    """

    value: float
    best_epoch: int
    history: dict[str, list[float]]
    n_parameters: int
    seconds: float
    threads: int
    values_of_restarts: tuple[float, ...]
    values_of_folds: tuple[float, ...] = ()
    latency: float | None = None


@dataclass(frozen=True)
class TrialFiles:
    """Where the trials of one study keep their files, by their numbers."""

    folder: Path

    def network(self, trial: int, further_seed: int = 0) -> Path:
        """The network of a trial's own seed, or that of a finalist's further seed."""
        return self.folder / str(trial) / (f"seed_{further_seed}.keras" if further_seed else "model.keras")

    def history(self, trial: int) -> Path:
        return self.folder / str(trial) / "history.csv"

    def checkpoint(self, trial: int, n_rows: int = 0) -> Path:
        """The checkpoint of a trial, or of its training on `n_rows` rows."""
        return self.folder / str(trial) / (f"checkpoint_{n_rows}" if n_rows else "checkpoint")

    def keep_only(self, trials: set[int]) -> None:
        """Remove the files of all other trials."""
        for path in self.folder.iterdir():
            if int(path.name) not in trials:
                shutil.rmtree(path)


# Called with a trial that has ended: the trial, its state, its result where it was trained to its end, and the reason
# where it failed.
OnTrial = Callable[[optuna.Trial, str, TrialResult | None, str], None]
