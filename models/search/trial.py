"""What a trial is told and what it leaves, as data that passes between processes."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna

from contracts.settings.load import Train
from models.training.data import Data


@dataclass(frozen=True)
class TrialTask:
    """Everything that decides what a trial trains, so that it can be trained again."""

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
    reports_mean: bool = True  # of the folds so far; else each fold's own value
    measures_latency: bool = False


@dataclass(frozen=True)
class TrialResult:
    """What a finished trial leaves: the best epoch's value, all epochs' numbers, size, time, the threads used, and the
    values that its initialisations reached, or of its folds, whose mean is the value then.
    """

    value: float
    best_epoch: int
    history: dict[str, list[float]]
    n_parameters: int
    seconds: float
    threads: int
    values_of_restarts: tuple[float, ...]
    values_of_folds: tuple[float, ...] = ()
    latency: float | None = None  # seconds for one row, where they are measured


# Told of every trial that has ended, before the study is: the trial, its state, its result, and why it failed.
OnTrial = Callable[[optuna.Trial, str, TrialResult | None, str], None]
