"""The metrics: which a task reports, which way each is better, and how sure a value is.

Those of one line are written out: scikit-learn takes seconds to import, and `select` needs no more than them.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from contracts.schema import Schema


@dataclass(frozen=True)
class Metric:
    """A number that compares predictions with labels, and knows which of two is better.

    `compute` takes labels of shape (n_rows,) and predictions: class probabilities of shape
    (n_rows, n_classes), or values of shape (n_rows,). Labels and several values have (n_rows, n_outputs) in both.
    """

    name: str
    higher_is_better: bool
    compute: Callable[[np.ndarray, np.ndarray], float]

    def better(self, value: float, than: float, by: float = 0.0) -> bool:
        """Whether `value` is better than the other by more than `by`; NaN is never better."""
        gain = value - than if self.higher_is_better else than - value
        return bool(gain > by)

    @property
    def direction(self) -> str:
        return "maximize" if self.higher_is_better else "minimize"


def _accuracy(y: np.ndarray, p: np.ndarray) -> float:
    return float(np.mean(p.argmax(axis=1) == y))


def _log_loss(y: np.ndarray, p: np.ndarray) -> float:
    """Mean of -log p(the true class), p kept above the smallest step of 32-bit floating point."""
    p = _normalised(p)
    return float(-np.log(np.maximum(p[np.arange(len(y)), y], np.finfo(np.float32).eps)).mean())


def _macro_f1(y: np.ndarray, p: np.ndarray) -> float:
    from sklearn.metrics import f1_score

    return float(f1_score(y, p.argmax(axis=1), average="macro"))


def _roc_auc(y: np.ndarray, p: np.ndarray) -> float:
    """One class against the rest, averaged over the classes; undefined (NaN) where a class is absent."""
    from sklearn.metrics import roc_auc_score

    if len(np.unique(y)) < p.shape[1]:
        return float("nan")
    p = _normalised(p)
    return float(roc_auc_score(y, p[:, 1]) if p.shape[1] == 2 else roc_auc_score(y, p, multi_class="ovr"))


def _normalised(p: np.ndarray) -> np.ndarray:
    # Probabilities in 32-bit floating point add up to 1 within 1e-6 only.
    p = p.astype(np.float64)
    return p / p.sum(axis=1, keepdims=True)


def _by_label(of_classes: Callable[[np.ndarray, np.ndarray], float]) -> Callable[[np.ndarray, np.ndarray], float]:
    """The same for labels, of shape (n_rows, n_labels): their mean, each label taken as two classes."""

    def compute(y: np.ndarray, p: np.ndarray) -> float:
        if y.ndim == 1:
            return of_classes(y, p)
        pairs = np.stack([1 - p, p], axis=2)
        return float(np.mean([of_classes(y[:, i].astype(int), pairs[:, i]) for i in range(y.shape[1])]))

    return compute


def _r2(y: np.ndarray, p: np.ndarray) -> float:
    """1 − error / spread, the mean over several targets; undefined (NaN) where one does not vary."""
    spread = np.square(y - y.mean(axis=0, dtype=np.float64)).sum(axis=0)
    if not np.all(spread):
        return float("nan")
    return float(np.mean(1 - np.square(p - y, dtype=np.float64).sum(axis=0) / spread))


CLASSIFICATION = (
    Metric("accuracy", True, _by_label(_accuracy)),
    Metric("log_loss", False, _by_label(_log_loss)),
    Metric("macro_f1", True, _by_label(_macro_f1)),
    Metric("roc_auc", True, _by_label(_roc_auc)),
)
REGRESSION = (
    Metric("rmse", False, lambda y, p: float(np.sqrt(np.mean(np.square(p - y, dtype=np.float64))))),
    Metric("mae", False, lambda y, p: float(np.mean(np.abs(p - y), dtype=np.float64))),
    Metric("r2", True, _r2),
)
BY_NAME = {metric.name: metric for metric in (*CLASSIFICATION, *REGRESSION)}


def metrics_of(schema: Schema) -> tuple[Metric, ...]:
    """The metrics that a task reports."""
    return REGRESSION if schema.task == "regression" else CLASSIFICATION


def bootstrap_intervals(
    metrics: tuple[Metric, ...], y: np.ndarray, predictions: np.ndarray, samples: int, confidence: float, seed: int
) -> dict[str, tuple[float, float]]:
    """Percentile bootstrap over test rows (Efron and Tibshirani, 1993): name → (low, high).

    Resamples in which a metric is undefined are left out of its interval.
    """
    generator = np.random.default_rng(seed)
    values = np.empty((samples, len(metrics)))
    for sample in range(samples):
        rows = generator.integers(0, len(y), len(y))
        values[sample] = [metric.compute(y[rows], predictions[rows]) for metric in metrics]
    tail = (1 - confidence) / 2
    low, high = np.nanquantile(values, [tail, 1 - tail], axis=0)
    return {metric.name: (float(low[i]), float(high[i])) for i, metric in enumerate(metrics)}
