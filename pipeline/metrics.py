"""The metrics: which a task reports, which way each is better, and how sure a value is."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from sklearn import metrics as sk

from pipeline.schema import Schema


@dataclass(frozen=True)
class Metric:
    """A number that compares predictions with labels, and knows which of two is better.

    `compute` takes labels of shape (n_rows,) and predictions: class probabilities of shape
    (n_rows, n_classes), or values of shape (n_rows,).
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


def _labels(probabilities: np.ndarray) -> np.ndarray:
    return np.arange(probabilities.shape[1])


def _roc_auc(y: np.ndarray, p: np.ndarray) -> float:
    """One against the rest, averaged over the classes; undefined (NaN) where a class is absent."""
    if len(np.unique(y)) < p.shape[1]:
        return float("nan")
    return float(sk.roc_auc_score(y, p[:, 1]) if p.shape[1] == 2 else sk.roc_auc_score(y, p, multi_class="ovr"))


def _rounded_sum(p: np.ndarray) -> np.ndarray:
    # float32 probabilities add up to 1 within 1e-6 only, which scikit-learn warns about.
    p = p.astype(np.float64)
    return p / p.sum(axis=1, keepdims=True)


CLASSIFICATION = (
    Metric("accuracy", True, lambda y, p: float(sk.accuracy_score(y, p.argmax(axis=1)))),
    Metric("log_loss", False, lambda y, p: float(sk.log_loss(y, _rounded_sum(p), labels=_labels(p)))),
    Metric("macro_f1", True, lambda y, p: float(sk.f1_score(y, p.argmax(axis=1), average="macro"))),
    Metric("roc_auc", True, lambda y, p: _roc_auc(y, _rounded_sum(p))),
)
REGRESSION = (
    Metric("rmse", False, lambda y, p: float(sk.root_mean_squared_error(y, p))),
    Metric("mae", False, lambda y, p: float(sk.mean_absolute_error(y, p))),
    Metric("r2", True, lambda y, p: float(sk.r2_score(y, p))),
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
