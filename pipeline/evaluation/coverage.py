"""How often intervals and sets hold the truth, and how large they are."""

import numpy as np

from contracts.conformal import intervals, prediction_sets, thresholds
from contracts.schema import Schema

CONFIDENCES = (0.9, 0.95)


def coverage(schema: Schema, scores: np.ndarray, y: np.ndarray, predictions: np.ndarray) -> dict[str, float]:
    """For each of `CONFIDENCES` the share of rows that are covered, and the mean width of an interval or size of a set;
    for each quantile the share of rows that are not above it.

    A width is NaN if an interval has no ends; several numbers have no common width.

    Args:
        scores: those of the bundle.
        predictions: shape (n_rows, n_outputs), or (n_rows,) for one number; of a model of quantiles these.
    """
    predictions = predictions.reshape(len(y), -1)
    shares = zip(schema.levels, predictions.T, strict=False)  # none without levels
    found = {f"below_{level * 100:g}": float(np.mean(y <= quantile)) for level, quantile in shares}
    for confidence in CONFIDENCES:
        name, limits = f"{confidence * 100:g}", thresholds(scores, confidence)
        if schema.task == "regression":
            low, high = intervals(schema, predictions.astype(np.float64), limits, confidence)
            truth = y.reshape(len(y), -1)
            found[f"coverage_{name}"] = float(np.mean((low <= truth) & (truth <= high)))
            width = float(np.mean(high - low))
            found[f"width_{name}"] = width if np.isfinite(width) and low.shape[1] == 1 else float("nan")
        else:
            sets = prediction_sets(schema, predictions, limits)
            truth = np.eye(len(schema.classes), dtype=bool)[y] if schema.picks_one else y == 1
            found[f"coverage_{name}"] = float(sets[truth].mean())
            found[f"size_{name}"] = float(sets.sum(axis=1).mean())
    return found
