"""Prediction sets and intervals by split conformal prediction (Vovk et al., 2005; Angelopoulos and Bates, 2021, arXiv
2107.07511). Why so: docs/decisions/0033-prediction-sets.md

A bundle holds the sorted scores of the validation rows: how far a prediction was from the truth.
"""

from pathlib import Path

import numpy as np

from contracts.schema import Schema

FILE = "conformal.npy"


def conformal_scores(schema: Schema, y: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    """Sorted scores, float32 of shape (n_rows, n): the distance to each number; 1 - P(true class), with n = 1; or
    1 - P(label) of each label where it holds, NaN where it does not.

    Args:
        y: targets, as `contracts.encoding.encode_target` gives them.
        predictions: shape (n_rows, n_outputs), in the order of `schema.outputs`.
    """
    if schema.task == "regression":
        scores = np.abs(y.reshape(len(y), -1) - predictions)
    elif schema.picks_one:
        scores = 1 - predictions[np.arange(len(y)), y][:, None]
    else:
        scores = np.where(y == 1, 1 - predictions, np.nan)
    return np.sort(scores.astype(np.float32), axis=0)  # NaN come last


def load_scores(bundle: Path) -> np.ndarray | None:
    """The scores of a bundle; None in a bundle of an older version."""
    return np.load(bundle / FILE) if (bundle / FILE).exists() else None


def thresholds(scores: np.ndarray, confidence: float) -> np.ndarray:
    """The score that new rows stay below with this probability, shape (n,); infinite where there are too few scores."""
    counts = np.sum(~np.isnan(scores), axis=0)
    ranks = np.ceil((counts + 1) * confidence - 1e-9).astype(int)
    values = scores[np.clip(ranks, 1, len(scores)) - 1, np.arange(scores.shape[1])]
    return np.where(ranks <= counts, values, np.float32(np.inf))


def prediction_sets(schema: Schema, predictions: np.ndarray, limits: np.ndarray) -> np.ndarray:
    """Which classes or labels a set holds, bool of shape (n_rows, n_classes); the most probable class is always in."""
    sets = 1 - predictions <= limits
    if schema.picks_one:
        sets[np.arange(len(sets)), predictions.argmax(axis=1)] = True
    return sets
