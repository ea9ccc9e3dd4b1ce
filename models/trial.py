"""What a trial is told and what it leaves, as data that passes between processes."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pipeline.params import Train


class Split(NamedTuple):
    """Encoded features of shape (n_rows, input_width), targets of shape (n_rows,) or (n_rows, n_outputs), and
    weights of shape (n_rows,) where rows do not all count the same.
    """

    features: np.ndarray
    target: np.ndarray
    weight: np.ndarray | None = None


@dataclass(frozen=True)
class Data:
    """Where a trial finds its data: `{train,validation}.{features,target,weight}.npy`, and the schema.

    In a fold, train rows take the place of validation: `held_out` says which, bool of shape (n_rows,).
    """

    folder: Path
    schema: Path
    held_out: Path | None = None

    def save(self, name: str, split: Split) -> None:
        for part, values in split._asdict().items():
            if values is not None:
                np.save(self._file(name, part), values)

    def split(self, name: str) -> Split:
        paths = [self._file("train" if self.held_out else name, part) for part in Split._fields]
        split = Split(*(np.load(path, mmap_mode="c") for path in paths if path.exists()))
        if self.held_out is None:
            return split
        rows = np.load(self.held_out) == (name == "validation")
        return Split(*(values[rows] for values in split if values is not None))

    def fold(self, number: int) -> "Data":
        """The data of one fold, as `pipeline.folds` has prepared it."""
        schema, held_out = self.folder / f"fold_{number}.json", self.folder / f"fold_{number}.npy"
        return replace(self, schema=schema, held_out=held_out)

    def _file(self, name: str, part: str) -> Path:
        return self.folder / f"{name}.{part}.npy"


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
