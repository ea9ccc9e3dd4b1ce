"""The interval or the set of each prediction, at the confidence that a request asks for."""

from typing import Any

import numpy as np

from contracts.conformal import prediction_sets, thresholds
from contracts.schema import NumericTarget
from serving.errors import Problem
from serving.model import ServedModel


def add_sets(model: ServedModel, objects: list[dict[str, Any]], predictions: np.ndarray, confidence: float) -> None:
    """Add `interval`, `intervals` by name, or `set`, to each prediction.

    Args:
        predictions: shape (n_rows, n_outputs), in the order of `schema.outputs`.

    Raises:
        Problem: 400 if the bundle is of a version that kept no scores.
    """
    schema, scores = model.schema, model.conformal_scores
    if scores is None:
        detail = (
            "query confidence: expected a model with conformal.npy, received one of an older version: train it again"
        )
        raise Problem(400, detail)
    limits = thresholds(scores, confidence)
    if schema.task != "regression":
        labels = schema.labels or schema.classes
        for entry, row in zip(objects, prediction_sets(schema, predictions, limits), strict=True):
            entry["set"] = [labels[code] for code in np.flatnonzero(row)]
        return
    for entry, row in zip(objects, predictions.astype(np.float64), strict=True):
        found = {
            name: {"low": _finite(value - limit), "high": _finite(value + limit)}
            for name, value, limit in zip(schema.outputs, row, limits, strict=True)
        }
        if isinstance(schema.target, NumericTarget):
            entry["interval"] = found[schema.target.name]
        else:
            entry["intervals"] = found


def _finite(number: float) -> float | None:
    """A number, or None where there were too few validation rows for an end."""
    return float(number) if np.isfinite(number) else None
