"""The metrics of each task, their directions, and bootstrap intervals.

They are written out here because `import sklearn` takes seconds, and its F1 and ROC AUC take 5 ms a call on 24 rows, of
which `select` makes thousands.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Compute = Callable[[np.ndarray, np.ndarray], float]


@dataclass(frozen=True)
class Metric:
    """A function of targets and predictions, with its direction.

    `compute` takes targets of shape (n_rows,) and predictions: class probabilities of shape
    (n_rows, n_classes), or values of shape (n_rows,). With labels and several values both have (n_rows, n_outputs).
    A metric that is a function `of_mean` of a mean over rows also has `row_values`, which gives (n_rows,).
    """

    name: str
    higher_is_better: bool
    compute: Compute
    row_values: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None
    of_mean: Callable[[float], float] = float

    def better(self, value: float, than: float, by: float = 0.0) -> bool:
        """Whether `value` is better than `than` by more than `by`; NaN is never better."""
        gain = value - than if self.higher_is_better else than - value
        return bool(gain > by)

    @property
    def direction(self) -> str:
        return "maximize" if self.higher_is_better else "minimize"


def _of_rows(
    name: str,
    higher_is_better: bool,
    row_values: Callable[[np.ndarray, np.ndarray], np.ndarray],
    of_mean: Callable[[float], float] = float,
) -> Metric:
    def compute(y: np.ndarray, p: np.ndarray) -> float:
        return float(of_mean(row_values(y, p).mean(dtype=np.float64)))

    return Metric(name, higher_is_better, compute, row_values, of_mean)


def _hits(y: np.ndarray, p: np.ndarray) -> np.ndarray:
    if y.ndim == 2:
        return np.mean((p > 0.5) == (y == 1), axis=1)
    return p.argmax(axis=1) == y


def _negative_log_likelihood(y: np.ndarray, p: np.ndarray) -> np.ndarray:
    """-log p(true class), with p clipped at the machine epsilon of float32; the mean over several labels."""
    of_truth = np.where(y == 1, p, 1 - p.astype(np.float64)) if y.ndim == 2 else _normalised(p)[np.arange(len(y)), y]
    losses = -np.log(np.maximum(of_truth, np.finfo(np.float32).eps))
    return losses.mean(axis=1) if y.ndim == 2 else losses


def _squared_error(y: np.ndarray, p: np.ndarray) -> np.ndarray:
    return np.square(p - y, dtype=np.float64).reshape(len(y), -1).mean(axis=1)


def _absolute_error(y: np.ndarray, p: np.ndarray) -> np.ndarray:
    return np.abs(p - y).reshape(len(y), -1).mean(axis=1, dtype=np.float64)


def _macro_f1(y: np.ndarray, p: np.ndarray) -> float:
    """Mean of the F1 of each class that is among the targets or the predictions, as in scikit-learn."""
    predicted, n_classes = p.argmax(axis=1), p.shape[1]
    hits = np.bincount(y[predicted == y], minlength=n_classes)
    total = np.bincount(y, minlength=n_classes) + np.bincount(predicted, minlength=n_classes)
    return float(np.mean(2 * hits[total > 0] / total[total > 0]))


def _roc_auc(y: np.ndarray, p: np.ndarray) -> float:
    """One class against the rest, averaged over the classes; NaN where a class is absent from `y`."""
    if len(np.unique(y)) < p.shape[1]:
        return float("nan")
    p = _normalised(p)
    classes = (1,) if p.shape[1] == 2 else range(p.shape[1])
    return float(np.mean([_binary_auc(y == code, p[:, code]) for code in classes]))


def _binary_auc(positive: np.ndarray, score: np.ndarray) -> float:
    """The share of pairs in the right order, from the ranks (Mann and Whitney, 1947); ties count half."""
    _, inverse, counts = np.unique(score, return_inverse=True, return_counts=True)
    mean_ranks = np.cumsum(counts) - (counts - 1) / 2
    n = int(positive.sum())
    return float((mean_ranks[inverse[positive]].sum() - n * (n + 1) / 2) / (n * (len(score) - n)))


def _normalised(p: np.ndarray) -> np.ndarray:
    p = p.astype(np.float64)
    return p / p.sum(axis=1, keepdims=True)


def _averaged_over_labels(
    of_classes: Callable[[np.ndarray, np.ndarray], float],
) -> Callable[[np.ndarray, np.ndarray], float]:
    """A metric of classes that also takes labels of shape (n_rows, n_labels): the mean over the binary metrics."""

    def compute(y: np.ndarray, p: np.ndarray) -> float:
        if y.ndim == 1:
            return of_classes(y, p)
        pairs = np.stack([1 - p, p], axis=2)
        return float(np.mean([of_classes(y[:, i].astype(int), pairs[:, i]) for i in range(y.shape[1])]))

    return compute


def _r2(y: np.ndarray, p: np.ndarray) -> float:
    """Coefficient of determination, averaged over the targets; NaN where a target is constant."""
    total = np.square(y - y.mean(axis=0, dtype=np.float64)).sum(axis=0)
    if not np.all(total):
        return float("nan")
    return float(np.mean(1 - np.square(p - y, dtype=np.float64).sum(axis=0) / total))


CLASSIFICATION = (
    _of_rows("accuracy", True, _hits),
    _of_rows("log_loss", False, _negative_log_likelihood),
    Metric("macro_f1", True, _averaged_over_labels(_macro_f1)),
    Metric("roc_auc", True, _averaged_over_labels(_roc_auc)),
)
REGRESSION = (
    _of_rows("rmse", False, _squared_error, np.sqrt),
    _of_rows("mae", False, _absolute_error),
    Metric("r2", True, _r2),
)
BY_NAME = {metric.name: metric for metric in (*CLASSIFICATION, *REGRESSION)}


def task_metrics(task: str) -> tuple[Metric, ...]:
    """The metrics that are reported for a task."""
    return REGRESSION if task == "regression" else CLASSIFICATION


def bootstrap_intervals(
    metrics: tuple[Metric, ...], y: np.ndarray, predictions: np.ndarray, samples: int, confidence: float, seed: int
) -> dict[str, tuple[float, float]]:
    """Percentile bootstrap over rows (Efron and Tibshirani, 1993): name → (low, high).

    Resamples in which a metric is NaN do not count.
    """
    generator = np.random.default_rng(seed)
    values = np.empty((samples, len(metrics)))
    for sample in range(samples):
        rows = generator.integers(0, len(y), len(y))
        values[sample] = [metric.compute(y[rows], predictions[rows]) for metric in metrics]
    tail = (1 - confidence) / 2
    low, high = np.nanquantile(values, [tail, 1 - tail], axis=0)
    return {metric.name: (float(low[i]), float(high[i])) for i, metric in enumerate(metrics)}
