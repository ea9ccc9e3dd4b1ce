"""Predictions by name, as `POST /predict` returns them and the page shows them."""

from typing import Any

import numpy as np

from contracts.encoding import decide
from contracts.schema import NumericTarget, Schema

LABEL_THRESHOLD = 0.5  # a multilabel model predicts the labels with at least this probability


def prediction_objects(schema: Schema, predictions: np.ndarray, threshold: float | None = None) -> list[dict[str, Any]]:
    """One object per row: `value`, `values` by name, or a `label` or `labels` with `probabilities`.

    Args:
        predictions: shape (n_rows, n_outputs), in the order of `schema.outputs`.
        threshold: see `contracts.encoding.decide`.
    """
    if isinstance(schema.target, NumericTarget):
        return [{"value": value} for value in predictions[:, 0].tolist()]
    rows = [dict(zip(schema.outputs, row, strict=True)) for row in predictions.tolist()]
    if not schema.classes:
        return [{"values": row} for row in rows]
    if not schema.picks_one:
        return [
            {"labels": [name for name, p in row.items() if p >= LABEL_THRESHOLD], "probabilities": row} for row in rows
        ]
    codes = decide(predictions, threshold).tolist()
    return [
        {"label": schema.labels[code], "probability": row[schema.classes[code]], "probabilities": row}
        for code, row in zip(codes, rows, strict=True)
    ]


def prediction_schema(schema: Schema) -> dict[str, Any]:
    """The JSON Schema of one such object."""
    number = {"type": "number"}
    if isinstance(schema.target, NumericTarget):
        return _object({"value": number})
    by_name = _object(dict.fromkeys(schema.outputs, number))
    if not schema.classes:
        return _object({"values": by_name})
    one_of = {"enum": list(schema.labels or schema.classes)}
    if not schema.picks_one:
        return _object({"labels": {"type": "array", "items": one_of}, "probabilities": by_name})
    return _object({"label": one_of, "probability": number, "probabilities": by_name})


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "required": list(properties), "properties": properties}
