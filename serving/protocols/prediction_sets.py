"""The interval or the set of each prediction, at the confidence that a request asks for."""

from typing import Any

import numpy as np

from contracts.conformal import (
    BY_ROW_FILE,
    FILE,
    group_columns,
    group_thresholds,
    intervals,
    prediction_sets,
    thresholds,
)
from contracts.schema import NumericTarget
from serving.errors import Problem, quote_name
from serving.model import ServedModel
from serving.protocols.predict_options import PredictOptions


def add_sets(
    model: ServedModel,
    objects: list[dict[str, Any]],
    predictions: np.ndarray,
    rows: np.ndarray,
    options: PredictOptions,
) -> None:
    """Add `interval`, `intervals` by name, or `set`, to each prediction.

    Args:
        predictions: shape (n_rows, n_outputs), in the order of `model.outputs`.
        rows: encoded.
        options: with a confidence.

    Raises:
        Problem: 400 if the bundle of an older version has no scores, or the group is not one of its categories.
    """
    schema, limits = model.schema, _thresholds(model, rows, options)
    if schema.task != "regression":
        labels = schema.labels or schema.classes
        for entry, row in zip(objects, prediction_sets(schema, predictions, limits), strict=True):
            entry["set"] = [labels[code] for code in np.flatnonzero(row)]
        return
    assert options.confidence is not None
    predicted = (predictions[:, 1:] if schema.levels else predictions).astype(np.float64)
    ends = intervals(schema, predicted, limits, options.confidence)
    for entry, lows, highs in zip(objects, *ends, strict=True):
        found = {
            name: {"low": _finite(low), "high": _finite(high)}
            for name, low, high in zip(schema.outputs, lows, highs, strict=True)
        }
        if isinstance(schema.target, NumericTarget):
            entry["interval"] = found[schema.target.name]
        else:
            entry["intervals"] = found


def _thresholds(model: ServedModel, rows: np.ndarray, options: PredictOptions) -> np.ndarray:
    assert options.confidence is not None
    scores, by_row = model.conformal_scores, model.conformal_by_row
    columns = group_columns(model.schema)
    if options.group is not None and options.group not in columns:
        known = ", ".join(map(quote_name, columns)) or "none, because no feature is one"
        raise Problem(400, f"query group: expected a category ({known}), received {quote_name(options.group)}")
    if scores is None or (options.group is not None and by_row is None):
        missing = FILE if scores is None else BY_ROW_FILE
        detail = f"query confidence: expected a model with {missing}, received one of an older version: train it again"
        raise Problem(400, detail)
    if options.group is None:
        return thresholds(scores, options.confidence)
    assert by_row is not None
    return group_thresholds(model.schema, by_row, options.group, rows, options.confidence)


def _finite(number: float) -> float | None:
    """A number, or None where there were too few validation rows for an end."""
    return float(number) if np.isfinite(number) else None
