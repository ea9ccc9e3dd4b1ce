"""Greedy ensemble selection (Caruana et al., Ensemble selection from libraries of models, ICML 2004)."""

import numpy as np

from contracts.metrics import Metric

DRAWS = 16  # shares are multiples of 1/16, or of a larger fraction if fewer draws are better
FOLDS = 5


def select_greedily(metric: Metric, y: np.ndarray, predictions: list[np.ndarray], most: int) -> np.ndarray:
    """How often each model is in the ensemble with the best metric of the mean prediction, shape (n_models,).

    Each draw adds the model, with replacement, that makes the mean best. The ensemble is that of the best draw.

    Args:
        predictions: of each model, as the metric takes them; the first one is the best single model.
        most: different models at most.
    """
    counts, total = np.zeros(len(predictions), int), np.zeros_like(predictions[0], np.float64)
    best, value = counts, -np.inf
    for draw in range(1, DRAWS + 1):
        allowed = [i for i in range(len(predictions)) if counts[i] or np.count_nonzero(counts) < most]
        values = [_signed(metric, y, (total + predictions[i]) / draw) for i in allowed]
        chosen = allowed[int(np.argmax(values))]
        total, counts = total + predictions[chosen], counts + (np.arange(len(counts)) == chosen)
        if max(values) > value:
            best, value = counts, max(values)
    return best


def cross_fitted(metric: Metric, y: np.ndarray, predictions: list[np.ndarray], most: int, seed: int) -> np.ndarray:
    """The predictions of ensembles for rows on which they were not selected: each fold by the selection of the others.

    On its own rows a selection looks better than it is.
    """
    fold = np.random.default_rng(seed).permutation(len(y)) % FOLDS
    mean = np.empty_like(predictions[0], np.float64)
    for held_out in (fold == number for number in range(FOLDS)):
        counts = select_greedily(metric, y[~held_out], [one[~held_out] for one in predictions], most)
        mean[held_out] = np.average([one[held_out] for one in predictions], axis=0, weights=counts)
    return mean


def _signed(metric: Metric, y: np.ndarray, predictions: np.ndarray) -> float:
    """Higher is better; NaN is worst."""
    value = metric.compute(y, predictions)
    return -np.inf if np.isnan(value) else value if metric.higher_is_better else -value
