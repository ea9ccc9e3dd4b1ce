"""Predictions by name, as `POST /predict` returns them and the page shows them."""

from typing import Any

import numpy as np

from contracts.encoding import decide
from contracts.schema import NumericTarget, Schema

LABEL_THRESHOLD = 0.5  # a multilabel model predicts the labels with at least this probability


def prediction_objects(schema: Schema, predictions: np.ndarray, threshold: float | None = None) -> list[dict[str, Any]]:
    """One object per row: `value`, for models of quantiles with `quantiles` by level; `values` by name; or a `label` or
    `labels` with `probabilities`.

    Args:
        predictions: shape (n_rows, n_outputs), in the order of `contracts.encoding.answer_names`.
        threshold: see `contracts.encoding.decide`.
    """
    if isinstance(schema.target, NumericTarget):
        if not schema.levels:
            return [{"value": value} for value in predictions[:, 0].tolist()]
        levels = [str(level) for level in schema.levels]
        return [{"value": row[0], "quantiles": dict(zip(levels, row[1:], strict=True))} for row in predictions.tolist()]
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


END = {"type": ["number", "null"], "description": "null where there were too few validation rows for an end"}
INTERVAL = {"type": "object", "required": ["low", "high"], "properties": {"low": END, "high": END}}


def prediction_schema(schema: Schema) -> dict[str, Any]:
    """The JSON Schema of one such object, with the keys that `?confidence=` and `?explain=true` add."""
    described = _prediction_schema(schema)
    described["properties"]["explanation"] = {
        "type": "object",
        "description": "With ?explain=true, by output: the mean and what each feature adds, or the tiles of an image.",
    }
    return described


def _prediction_schema(schema: Schema) -> dict[str, Any]:
    number = {"type": "number"}
    if isinstance(schema.target, NumericTarget):
        levels = {"quantiles": _object({str(level): number for level in schema.levels})} if schema.levels else {}
        return _object({"value": number, **levels}, interval=INTERVAL)
    by_name = _object(dict.fromkeys(schema.outputs, number))
    if not schema.classes:
        return _object({"values": by_name}, intervals=_object(dict.fromkeys(schema.outputs, INTERVAL)))
    one_of = {"enum": list(schema.labels or schema.classes)}
    members = {"type": "array", "items": one_of}
    if not schema.picks_one:
        return _object({"labels": members, "probabilities": by_name}, set=members)
    return _object({"label": one_of, "probability": number, "probabilities": by_name}, set=members)


def _object(required: dict[str, Any], **optional: Any) -> dict[str, Any]:
    return {"type": "object", "required": list(required), "properties": {**required, **optional}}
