"""The model that all protocols share: checked rows in, finite predictions out, everything counted."""

from typing import Any, NamedTuple

import numpy as np

from contracts.encoding import encode
from serving.errors import SHOWN, Problem
from serving.metrics import Meters
from serving.predictor import Predictor
from serving.validation.rows import Door, Rows

TOLERANCE = 1e-4  # of the sample's prediction, relative where it is larger than 1


class Answer(NamedTuple):
    """A body, and how to read it."""

    body: bytes
    media_type: str = "application/json"
    headers: dict[str, str] | None = None


class Model:
    """One version of a dataset's model.

    Args:
        expected: what the schema's sample must give, shape (n_outputs,).
        max_rows: rows in one request.
    """

    def __init__(
        self, predictor: Predictor, version: str, expected: list[float], max_rows: int, meters: Meters
    ) -> None:
        self.schema, self.manifest = predictor.schema, predictor.manifest
        self.name, self.version = self.schema.dataset, version
        self.door = Door(self.schema, max_rows)
        self.outputs = self.schema.outputs
        self.meters = meters
        self._predictor = predictor
        self.not_ready = self._sample_problem(expected)

    def predict(self, rows: Rows) -> np.ndarray:
        """Probabilities or values of shape (n_rows, n_outputs), in the order of `schema.outputs`; float32.

        Raises:
            Problem: 503 where the model failed its sample, 400 where a row gives no finite number.
        """
        if self.not_ready:
            raise Problem(503, f"the model is not ready: {self.not_ready}", headers={"Retry-After": "10"})
        if len(rows.encoded) == 0:
            return np.empty((0, len(self.outputs)), dtype=np.float32)
        predictions = self._predictor.predict(rows.encoded).reshape(-1, len(self.outputs))
        if not np.isfinite(predictions).all():
            bad = np.flatnonzero(~np.isfinite(predictions).all(axis=1))
            raise Problem(400, f"row {bad[0]} (and {len(bad) - 1} more) is too far from training to give a number")
        best = predictions.argmax(axis=1) if self.schema.picks_one else None
        self.meters.predicted(len(predictions), best, rows.warnings)
        return predictions

    def warnings(self, rows: Rows) -> dict[str, Any]:
        """What an answer says about odd rows: nothing where there are none."""
        if not rows.warnings:
            return {}
        shown = [{"path": warned.path, "message": warned.message} for warned in rows.warnings[:SHOWN]]
        if len(rows.warnings) > SHOWN:
            shown.append({"path": "$", "message": f"{len(rows.warnings) - SHOWN} more warnings"})
        return {"warnings": shown}

    def _sample_problem(self, expected: list[float]) -> str | None:
        sample = encode(self.schema, {name: [value] for name, value in self.schema.sample.items()})
        received = self._predictor.predict(sample).reshape(-1)
        if received.shape == np.shape(expected) and np.allclose(received, expected, TOLERANCE, TOLERANCE):
            return None
        return "its prediction for the schema's sample is not the one it gave when it was packaged"
