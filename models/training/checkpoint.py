"""A training that is ended by a crash goes on from its last epoch."""

import json
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np

from contracts.files import write_atomically

EVERY = 10.0  # seconds between two checkpoints at least: a short training is not worth one


class Checkpoint(keras.callbacks.Callback):
    """Keeps everything that decides how a training goes on: weights, optimizer, random state, early stopping.

    A new checkpoint takes the place of the old one only when it is whole on disk, so a crash in the middle of
    writing leaves the one before. Keras' BackupAndRestore keeps neither the best weights nor the patience,
    so a resumed training would end elsewhere.

    Args:
        every: seconds between two checkpoints at least.
    """

    def __init__(self, path: Path, stopping: keras.callbacks.EarlyStopping, every: float = EVERY) -> None:
        super().__init__()
        self.path, self.stopping, self.every = path, stopping, every
        self.history: dict[str, list[float]] = {}
        self.last = time.monotonic()
        self._resumed: dict[str, Any] | None = None

    def restore(self, trainer: keras.Model) -> int:
        """Put a checkpoint's state back; returns the epoch to begin with, 0 where there is none."""
        if not self.path.exists():
            return 0
        with np.load(self.path, allow_pickle=False) as stored:
            state = json.loads(str(stored["state"]))
            for number, variable in enumerate(state_of(trainer)):
                variable.assign(stored[f"variable_{number}"])
            n_best = state.pop("n_best")
            state["best_weights"] = [stored[f"best_{number}"] for number in range(n_best)] or None
        self.history = state.pop("history")
        begin = state.pop("epoch") + 1
        self._resumed = state
        return begin

    def on_train_begin(self, logs: dict | None = None) -> None:
        if self._resumed is not None:  # early stopping forgot everything a moment ago
            for name, value in self._resumed.items():
                setattr(self.stopping, name, value)

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        for name, value in logs.items():
            self.history.setdefault(name, []).append(float(value))
        if time.monotonic() - self.last < self.every:
            return
        best = self.stopping.best_weights or []
        state = {
            "epoch": epoch, "history": self.history, "n_best": len(best), "wait": self.stopping.wait,
            "best": float(self.stopping.best), "best_epoch": self.stopping.best_epoch,
        }  # fmt: skip
        arrays: dict[str, Any] = {"state": np.array(json.dumps(state))}
        arrays |= {f"variable_{number}": np.asarray(v) for number, v in enumerate(state_of(self.model))}
        arrays |= {f"best_{number}": weights for number, weights in enumerate(best)}
        with write_atomically(self.path) as unfinished:
            np.savez(unfinished, allow_pickle=False, **arrays)
        self.last = time.monotonic()


def state_of(trainer: keras.Model) -> list[keras.Variable]:
    """Weights, the state of random layers, and all that the optimizer remembers."""
    return [*trainer.variables, *trainer.optimizer.variables]
