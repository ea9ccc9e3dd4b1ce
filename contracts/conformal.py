"""Prediction sets and intervals by split conformal prediction (Vovk et al., 2005; Angelopoulos and Bates, 2021, arXiv
2107.07511). The reasons are in docs/decisions/0033-prediction-sets.md.

A bundle holds the sorted scores of the validation rows: how far a prediction was from the truth. A table with
categories also has them row by row, so that each value of a category has thresholds of its own (Mondrian conformal
prediction, Vovk et al., 2005).
"""

from pathlib import Path

import numpy as np

from contracts.schema import CategoricalFeature, Schema

FILE, BY_ROW_FILE = "conformal.npy", "conformal_by_row.npy"


def row_scores(schema: Schema, y: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    """Scores, float32 of shape (n_rows, n): the distance to each number; 1 - P(true class), with n = 1; or 1 - P(label)
    of each label where it holds, NaN where it does not. For quantiles, how far the number is outside each pair of them,
    below 0 inside (conformalised quantile regression: Romano et al., 2019, arXiv 1905.03222).

    Args:
        y: targets, as `contracts.encoding.encode_target` gives them.
        predictions: shape (n_rows, n_outputs), in the order of `schema.outputs`; the quantiles of a model of quantiles.
    """
    if schema.levels:
        low, high = _pairs(schema)
        scores = np.maximum(predictions[:, low] - y[:, None], y[:, None] - predictions[:, high])
    elif schema.task == "regression":
        scores = np.abs(y.reshape(len(y), -1) - predictions)
    elif schema.picks_one:
        scores = 1 - predictions[np.arange(len(y)), y][:, None]
    else:
        scores = np.where(y == 1, 1 - predictions, np.nan)
    return scores.astype(np.float32)


def conformal_scores(schema: Schema, y: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    """The sorted scores of `row_scores`, NaN last."""
    return np.sort(row_scores(schema, y, predictions), axis=0)


def group_columns(schema: Schema) -> dict[str, int]:
    """The features by whose values rows can be grouped, and the column of each in encoded rows."""
    inputs = () if schema.image else schema.inputs
    return {column.name: i for i, column in enumerate(inputs) if isinstance(column, CategoricalFeature)}


def save_scores(folder: Path, schema: Schema, rows: np.ndarray, y: np.ndarray, predictions: np.ndarray) -> None:
    """Write the scores of the validation rows to a bundle; for a table with categories also row by row, float32 of
    shape (n_rows, n + n_categories): scores, then codes in the order of `group_columns`.

    Args:
        rows: encoded.
    """
    scores = row_scores(schema, y, predictions)
    np.save(folder / FILE, np.sort(scores, axis=0))
    if columns := group_columns(schema):
        codes = np.asarray(rows)[:, list(columns.values())]
        np.save(folder / BY_ROW_FILE, np.concatenate([scores, codes], axis=1, dtype=np.float32))


def load_scores_by_row(bundle: Path) -> np.ndarray | None:
    """What `save_scores` wrote row by row; None where it wrote nothing."""
    return np.load(bundle / BY_ROW_FILE) if (bundle / BY_ROW_FILE).exists() else None


def group_thresholds(schema: Schema, by_row: np.ndarray, group: str, rows: np.ndarray, confidence: float) -> np.ndarray:
    """The thresholds of each row among the validation rows with its value of a category: shape (n_rows, n).

    Args:
        by_row: the bundle's.
        group: a name of `group_columns`.
        rows: encoded.
    """
    columns = group_columns(schema)
    n_scores = by_row.shape[1] - len(columns)
    known, asked = by_row[:, n_scores + list(columns).index(group)], rows[:, columns[group]]
    limits = np.empty((len(rows), n_scores))
    for code in np.unique(asked):
        limits[asked == code] = thresholds(np.sort(by_row[known == code, :n_scores], axis=0), confidence)
    return limits


def load_scores(bundle: Path) -> np.ndarray | None:
    """The scores of a bundle; None in a bundle of an older version."""
    return np.load(bundle / FILE) if (bundle / FILE).exists() else None


def thresholds(scores: np.ndarray, confidence: float) -> np.ndarray:
    """The score that new rows stay below with this probability, shape (n,); infinite where there are too few scores."""
    counts = np.sum(~np.isnan(scores), axis=0)
    ranks = np.ceil((counts + 1) * confidence - 1e-9).astype(int)
    if not len(scores):
        return np.full(scores.shape[1], np.inf)
    values = scores[np.clip(ranks, 1, len(scores)) - 1, np.arange(scores.shape[1])]
    return np.where(ranks <= counts, values, np.float32(np.inf))


def prediction_sets(schema: Schema, predictions: np.ndarray, limits: np.ndarray) -> np.ndarray:
    """Which classes or labels a set holds, bool of shape (n_rows, n_classes); the most probable class is always in.

    Args:
        limits: thresholds, one for all rows or one for each.
    """
    sets = 1 - predictions <= limits
    if schema.picks_one:
        sets[np.arange(len(sets)), predictions.argmax(axis=1)] = True
    return sets


def intervals(
    schema: Schema, predictions: np.ndarray, limits: np.ndarray, confidence: float
) -> tuple[np.ndarray, np.ndarray]:
    """The lower and the upper ends of the intervals of numbers, both of shape (n_rows, n).

    With quantiles, each interval is the pair whose levels are nearest to the confidence, moved by its limit; the median
    is always inside.

    Args:
        predictions: as `row_scores` takes them.
        limits: thresholds, one for all rows or one for each.
    """
    if not schema.levels:
        return predictions - limits, predictions + limits
    levels, (lows, highs) = np.array(schema.levels), _pairs(schema)
    pair = np.argmin(np.abs(levels[highs] - levels[lows] - confidence))
    moved, median = np.atleast_2d(limits)[:, [pair]], predictions[:, [schema.levels.index(0.5)]]
    low, high = predictions[:, [lows[pair]]] - moved, predictions[:, [highs[pair]]] + moved
    return np.minimum(low, median), np.maximum(high, median)


def _pairs(schema: Schema) -> tuple[np.ndarray, np.ndarray]:
    """The positions of the lower and the upper quantiles of each pair around the median, the outermost first."""
    below = schema.levels.index(0.5)
    first = np.arange(min(below, len(schema.levels) - 1 - below))
    return first, len(schema.levels) - 1 - first
