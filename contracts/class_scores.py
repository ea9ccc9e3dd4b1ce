"""Scores of class predictions, as functions of targets and probabilities.

They are written out here because `import sklearn` takes seconds, and its F1 and ROC AUC take 5 ms a call on 24 rows.
`select` makes thousands of such calls. Targets are codes of shape (n_rows,) with probabilities of shape (n_rows,
n_classes), or labels, 0 or 1, of shape (n_rows, n_labels) with probabilities of the same shape.
"""

from collections.abc import Callable

import numpy as np

Score = Callable[[np.ndarray, np.ndarray], float]


def hits(y: np.ndarray, p: np.ndarray) -> np.ndarray:
    """Whether the most probable class is the true one; for labels the share of right ones."""
    if y.ndim == 2:
        return np.mean((p > 0.5) == (y == 1), axis=1)
    return p.argmax(axis=1) == y


def negative_log_likelihood(y: np.ndarray, p: np.ndarray) -> np.ndarray:
    """-log p(true class), with p clipped at the machine epsilon of float32; the mean over several labels."""
    of_truth = np.where(y == 1, p, 1 - p.astype(np.float64)) if y.ndim == 2 else _normalised(p)[np.arange(len(y)), y]
    losses = -np.log(np.maximum(of_truth, np.finfo(np.float32).eps))
    return losses.mean(axis=1) if y.ndim == 2 else losses


def squared_distance(y: np.ndarray, p: np.ndarray) -> np.ndarray:
    """The Brier score of each row (Brier, 1950): (p - y)² for two classes, the sum over the classes for more."""
    if y.ndim == 2:
        return np.square(p - y, dtype=np.float64).mean(axis=1)
    distances = np.square(_normalised(p) - np.eye(p.shape[1])[y])
    return distances[:, 1] if p.shape[1] == 2 else distances.sum(axis=1)


def macro_f1(y: np.ndarray, p: np.ndarray) -> float:
    """Mean of the F1 of each class that is among the targets or the predictions, as in scikit-learn."""
    found, relevant, predicted = _counts(y, p)
    total = relevant + predicted
    return float(np.mean(2 * found[total > 0] / total[total > 0]))


def f1(y: np.ndarray, p: np.ndarray) -> float:
    """The F1 of the second of two classes; 0 where it is neither among the targets nor the predictions."""
    found, relevant, predicted = _counts(y, p)
    return float(2 * found[1] / max(1, relevant[1] + predicted[1]))


def balanced_accuracy(y: np.ndarray, p: np.ndarray) -> float:
    """The mean recall over the classes; classes without a row do not count."""
    found, relevant, _ = _counts(y, p)
    return float(np.mean(found[relevant > 0] / relevant[relevant > 0]))


def roc_auc(y: np.ndarray, p: np.ndarray) -> float:
    """One class against the rest, averaged over the classes; NaN where a class is absent from `y`."""
    return _one_against_rest(y, p, _binary_auc)


def pr_auc(y: np.ndarray, p: np.ndarray) -> float:
    """Average precision, one class against the rest, averaged over the classes; NaN where a class is absent."""
    return _one_against_rest(y, p, _average_precision)


def averaged_over_labels(of_classes: Score) -> Score:
    """A score of classes that also takes labels of shape (n_rows, n_labels): the mean over the binary scores."""

    def compute(y: np.ndarray, p: np.ndarray) -> float:
        if y.ndim == 1:
            return of_classes(y, p)
        pairs = np.stack([1 - p, p], axis=2)
        return float(np.mean([of_classes(y[:, i].astype(int), pairs[:, i]) for i in range(y.shape[1])]))

    return compute


def _counts(y: np.ndarray, p: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each class: its rows that are predicted right, its rows, and the rows that are predicted as it."""
    predicted, n_classes = p.argmax(axis=1), p.shape[1]
    found = np.bincount(y[predicted == y], minlength=n_classes)
    return found, np.bincount(y, minlength=n_classes), np.bincount(predicted, minlength=n_classes)


def _one_against_rest(y: np.ndarray, p: np.ndarray, score: Score) -> float:
    if len(np.unique(y)) < p.shape[1]:
        return float("nan")
    p = _normalised(p)
    classes = (1,) if p.shape[1] == 2 else range(p.shape[1])
    return float(np.mean([score(y == code, p[:, code]) for code in classes]))


def _binary_auc(positive: np.ndarray, score: np.ndarray) -> float:
    """The share of pairs in the right order, from the ranks (Mann and Whitney, 1947); ties count half."""
    _, inverse, counts = np.unique(score, return_inverse=True, return_counts=True)
    mean_ranks = np.cumsum(counts) - (counts - 1) / 2
    n = int(positive.sum())
    return float((mean_ranks[inverse[positive]].sum() - n * (n + 1) / 2) / (n * (len(score) - n)))


def _average_precision(positive: np.ndarray, score: np.ndarray) -> float:
    """The mean of the precision at each positive row, from the highest score down; equal scores count at once."""
    _, inverse, counts = np.unique(-score, return_inverse=True, return_counts=True)
    found = np.bincount(inverse, positive)
    precision = np.cumsum(found) / np.cumsum(counts)
    return float((found * precision).sum() / found.sum())


def _normalised(p: np.ndarray) -> np.ndarray:
    p = p.astype(np.float64)
    return p / p.sum(axis=1, keepdims=True)
