"""Checkpoints, from which an interrupted training resumes."""

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from contracts.files import write_atomically

MIN_SECONDS = 10.0  # seconds between two checkpoints, so that short trainings write none


class Checkpoint(keras.callbacks.Callback):
    """Writes the state of a training: weights, optimizer, random generators, other callbacks and history.

    A resumed training ends with the same weights as an uninterrupted one. With `keras.callbacks.BackupAndRestore` it
    does not, because that stores neither the best weights nor the patience of early stopping.
    """

    def __init__(
        self, path: Path, stopping: keras.callbacks.EarlyStopping, others: Sequence[keras.callbacks.Callback] = ()
    ) -> None:
        super().__init__()
        self.path, self.stopping = path, stopping
        self.plateaus = [other for other in others if isinstance(other, keras.callbacks.ReduceLROnPlateau)]
        self.averages = [other for other in others if isinstance(other, keras.callbacks.SwapEMAWeights)]
        self.history: dict[str, list[float]] = {}
        self.last = time.monotonic()
        self._resumed: dict[str, Any] | None = None

    def restore(self, trainer: keras.Model) -> int:
        """Restore the state from the file; returns the first epoch to train, 0 without a file."""
        if not self.path.exists():
            return 0
        with np.load(self.path, allow_pickle=False) as stored:
            state = json.loads(str(stored["state"]))
            for number, variable in enumerate(state_of(trainer)):
                variable.assign(stored[f"variable_{number}"])
            n_best = state.pop("n_best")
            state["best_weights"] = [stored[f"best_{number}"] for number in range(n_best)] or None
        self.history = state.pop("history")
        first_epoch = state.pop("epoch") + 1
        self._resumed = state
        return first_epoch

    def on_train_begin(self, logs: dict | None = None) -> None:
        if self._resumed is None:
            return
        # The other callbacks have just reset themselves.
        for plateau, state in zip(self.plateaus, self._resumed.pop("plateaus", []), strict=False):
            plateau.wait, plateau.best = state
        for average in self.averages:  # at the end of an epoch the network has the averaged weights
            average._ema_weights_in_model = True
        for name, value in self._resumed.items():
            setattr(self.stopping, name, value)

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        for name, value in logs.items():
            self.history.setdefault(name, []).append(float(value))
        if time.monotonic() - self.last < MIN_SECONDS:
            return
        best = self.stopping.best_weights or []
        state = {
            "epoch": epoch, "history": self.history, "n_best": len(best), "wait": self.stopping.wait,
            "best": float(self.stopping.best), "best_epoch": self.stopping.best_epoch,
            "plateaus": [(plateau.wait, float(plateau.best)) for plateau in self.plateaus],
        }  # fmt: skip
        arrays: dict[str, Any] = {"state": np.array(json.dumps(state))}
        arrays |= {f"variable_{number}": np.asarray(v) for number, v in enumerate(state_of(self.model))}
        arrays |= {f"best_{number}": weights for number, weights in enumerate(best)}
        with write_atomically(self.path) as unfinished:
            np.savez(unfinished, allow_pickle=False, **arrays)
        self.last = time.monotonic()


def state_of(trainer: keras.Model) -> list[keras.Variable]:
    """The variables of network, random generators and optimizer."""
    return [*trainer.variables, *trainer.optimizer.variables]
