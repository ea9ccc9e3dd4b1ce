"""The model that all protocols share: validated rows in, finite predictions out, everything counted."""

import time
from typing import Any, NamedTuple

import numpy as np

from contracts.encoding import answer, answer_names, decide, encode
from serving.errors import Problem
from serving.explanation import explain, features_of_columns, occlusion
from serving.metrics import RequestMetrics
from serving.predictor import Predictor
from serving.validation.validator import EncodedRows, InputValidator

MOST_EXPLAINED = 10  # rows of a request with explanations
TOLERANCE = 1e-4  # largest difference to the sample's prediction, relative if the prediction is larger than 1


class ModelResponse(NamedTuple):
    """A response with status 200. Starlette's Response costs more to build than a row costs to check."""

    body: bytes
    media_type: str = "application/json"
    headers: dict[str, str] | None = None


class ServedModel:
    """One version of a dataset's model.

    Args:
        expected: the answer for the schema's sample when the bundle was packaged, shape (n_outputs,).
        max_rows: rows in one request.
        timeout: seconds for the explanations of one request.
    """

    def __init__(
        self, predictor: Predictor, version: str, expected: list[float], max_rows: int, metrics: RequestMetrics,
        timeout: float = 30.0,
    ) -> None:  # fmt: skip
        self.schema, self.manifest = predictor.schema, predictor.manifest
        self.name, self.version = self.schema.dataset, version
        self.validator = InputValidator(self.schema, max_rows)
        self.outputs = answer_names(self.schema)
        self.metrics = metrics
        self._predictor, self.timeout = predictor, timeout
        self.bundle, self.expected = predictor.folder, expected
        self.conformal_scores = predictor.conformal_scores
        self.conformal_by_row = predictor.conformal_by_row
        self.not_ready_reason = self._check_sample(expected)

    def predict(self, rows: EncodedRows) -> np.ndarray:
        """Probabilities or values of shape (n_rows, n_outputs), in the order of `outputs`; float32.

        Raises:
            Problem: 503 if the model failed its sample, 400 if a row gives no finite number.
        """
        self.check_ready()
        if len(rows.encoded) == 0:
            return np.empty((0, len(self.outputs)), dtype=np.float32)
        predictions = answer(self.schema, self._predictor.outputs(rows.encoded))
        if not np.isfinite(predictions).all():
            bad = np.flatnonzero(~np.isfinite(predictions).all(axis=1))
            raise Problem(
                400, f"row {bad[0]} (and {len(bad) - 1} more) is too far from the training data to give a number"
            )
        classes = np.bincount(self.decide(predictions)).tolist() if self.schema.picks_one else []
        self.metrics.count_predictions(len(predictions), classes, rows.kinds)
        return predictions

    def explain(self, rows: EncodedRows, predictions: np.ndarray) -> list[dict[str, Any]]:
        """For each row and each output of the answer: the mean prediction and the contribution of each feature; for an
        image how much the prediction falls if a tile is grey.

        Raises:
            Problem: 400 for too many rows, or a bundle that lacks what it takes; 504 past the time of a request.
        """
        if len(rows.encoded) > MOST_EXPLAINED:
            raise Problem(400, f"?explain: expected at most {MOST_EXPLAINED} rows, received {len(rows.encoded)}")
        image, background = self.schema.image, self._predictor.background
        if image is None and background is None:
            raise Problem(
                400,
                "?explain: an older version made this model; a champion of a later training can be explained",
            )
        end = time.monotonic() + self.timeout

        def predict(encoded: np.ndarray) -> np.ndarray:
            if time.monotonic() > end:
                raise Problem(504, f"no explanation within {self.timeout:g} seconds", headers={"Retry-After": "1"})
            return self._predictor.predict(encoded).reshape(-1, len(outputs))

        explained, outputs = [], self.schema.outputs
        decisions = self.decide(predictions).tolist() if self.schema.picks_one else None
        for number, row in enumerate(rows.encoded):
            shown = range(len(outputs)) if decisions is None else (decisions[number],)
            if image is not None:
                falls = occlusion(predict, row, image.height, image.width, image.mean or 0.0)
                explained.append({outputs[i]: {"occlusion": falls[:, :, i].tolist()} for i in shown})
                continue
            assert background is not None
            found = explain(predict, row, background, features_of_columns(self.schema), self._predictor.work)
            if not np.isfinite(found.values).all():
                raise Problem(400, f"row {number} is too far from the training data to be explained")
            names = [feature.name for feature in self.schema.features]
            explained.append(
                {
                    outputs[i]: {
                        "mean": float(found.mean[i]),
                        "contributions": dict(zip(names, found.values[:, i].tolist(), strict=True)),
                    }
                    for i in shown
                }
            )
        return explained

    def decide(self, predictions: np.ndarray) -> np.ndarray:
        """The code of the class that is predicted for each row, shape (n_rows,)."""
        return decide(predictions, self.manifest.threshold)

    def check_ready(self) -> None:
        """Refuse with 503 if the model failed its sample."""
        if self.not_ready_reason:
            raise Problem(503, f"the model is not ready: {self.not_ready_reason}", headers={"Retry-After": "10"})

    def warnings(self, rows: EncodedRows) -> dict[str, Any]:
        """`{"warnings": [...]}` for a response, or an empty object if there are none."""
        if not rows.warnings:
            return {}
        listed = [{"path": warning.path, "message": warning.message} for warning in rows.warnings]
        if (more := sum(rows.kinds.values()) - len(listed)) > 0:
            listed.append({"path": "$", "message": f"{more} more warnings"})
        return {"warnings": listed}

    def _check_sample(self, expected: list[float]) -> str | None:
        sample = encode(self.schema, {name: [value] for name, value in self.schema.sample.items()})
        received = answer(self.schema, self._predictor.outputs(sample)).reshape(-1)
        if received.shape == np.shape(expected) and np.allclose(received, expected, TOLERANCE, TOLERANCE):
            return None
        return "its prediction for the schema's sample differs from the one at packaging"
