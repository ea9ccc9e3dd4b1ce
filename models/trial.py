"""What a trial is told and what it leaves, as data that passes between processes."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np


class Split(NamedTuple):
    """Encoded features of shape (n_rows, input_width), and targets of shape (n_rows,)."""

    features: np.ndarray
    target: np.ndarray


@dataclass(frozen=True)
class Data:
    """Where a trial finds its data: `{train,validation}.{features,target}.npy`, and the schema."""

    folder: Path
    schema: Path

    def save(self, name: str, split: Split) -> None:
        np.save(self.folder / f"{name}.features.npy", split.features)
        np.save(self.folder / f"{name}.target.npy", split.target)

    def split(self, name: str) -> Split:
        return Split(
            np.load(self.folder / f"{name}.features.npy", mmap_mode="r"),
            np.load(self.folder / f"{name}.target.npy", mmap_mode="r"),
        )


@dataclass(frozen=True)
class TrialTask:
    """Everything that decides what a trial trains, so that it can be trained again."""

    data: Data
    hyperparameters: dict[str, Any]
    seed: int
    monitor: str
    higher_is_better: bool
    epochs: int
    patience: int
    report_every: int
    threads: int


@dataclass(frozen=True)
class TrialResult:
    """What a finished trial leaves: the best epoch's value, all epochs' numbers, size and time."""

    value: float
    best_epoch: int
    history: dict[str, list[float]]
    n_parameters: int
    seconds: float
