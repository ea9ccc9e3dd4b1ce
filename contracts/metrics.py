"""The metrics of each task, their directions, and bootstrap intervals.

Most are written out here because `import sklearn` takes seconds, which `select` would wait for.
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
    """

    name: str
    higher_is_better: bool
    compute: Compute

    def better(self, value: float, than: float, by: float = 0.0) -> bool:
        """Whether `value` is better than `than` by more than `by`; NaN is never better."""
        gain = value - than if self.higher_is_better else than - value
        return bool(gain > by)

    @property
    def direction(self) -> str:
        return "maximize" if self.higher_is_better else "minimize"


def _accuracy(y: np.ndarray, p: np.ndarray) -> float:
    return float(np.mean(p.argmax(axis=1) == y))


def _log_loss(y: np.ndarray, p: np.ndarray) -> float:
    """Mean of -log p(true class), with p clipped at the machine epsilon of float32."""
    p = _normalised(p)
    return float(-np.log(np.maximum(p[np.arange(len(y)), y], np.finfo(np.float32).eps)).mean())


def _macro_f1(y: np.ndarray, p: np.ndarray) -> float:
    from sklearn.metrics import f1_score

    return float(f1_score(y, p.argmax(axis=1), average="macro"))


def _roc_auc(y: np.ndarray, p: np.ndarray) -> float:
    """One class against the rest, averaged over the classes; NaN where a class is absent from `y`."""
    from sklearn.metrics import roc_auc_score

    if len(np.unique(y)) < p.shape[1]:
        return float("nan")
    p = _normalised(p)
    return float(roc_auc_score(y, p[:, 1]) if p.shape[1] == 2 else roc_auc_score(y, p, multi_class="ovr"))


def _normalised(p: np.ndarray) -> np.ndarray:
    # scikit-learn refuses probabilities whose sum differs from 1 by the rounding error of float32.
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
    Metric("accuracy", True, _averaged_over_labels(_accuracy)),
    Metric("log_loss", False, _averaged_over_labels(_log_loss)),
    Metric("macro_f1", True, _averaged_over_labels(_macro_f1)),
    Metric("roc_auc", True, _averaged_over_labels(_roc_auc)),
)
REGRESSION = (
    Metric("rmse", False, lambda y, p: float(np.sqrt(np.mean(np.square(p - y, dtype=np.float64))))),
    Metric("mae", False, lambda y, p: float(np.mean(np.abs(p - y), dtype=np.float64))),
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
