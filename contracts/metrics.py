"""The metrics of each task, their directions, and bootstrap intervals."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from contracts import class_scores as of_classes
from contracts.class_scores import Score, averaged_over_labels


@dataclass(frozen=True)
class Metric:
    """A function of targets and predictions, with its direction.

    `compute` takes targets of shape (n_rows,) and predictions: class probabilities of shape
    (n_rows, n_classes), or values of shape (n_rows,). With labels and several values both have (n_rows, n_outputs).
    It gives NaN for targets that do not define it; `needs` says which targets do, and is empty if all do.
    A metric that is a function `of_mean` of a mean over rows also has `row_values`, which gives (n_rows,).
    A metric `of_decisions` depends on the classes that are predicted, not on their probabilities.
    A metric `of_ratios` judges a prediction by its ratio to the target, not by their difference.
    A metric `of_quantiles` takes what `contracts.quantiles.with_levels` gives.
    """

    name: str
    higher_is_better: bool
    compute: Score
    row_values: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None
    of_mean: Callable[[float], float] = float
    of_decisions: bool = False
    needs: str = ""
    of_ratios: bool = False
    of_quantiles: bool = False

    def better(self, value: float, than: float, by: float = 0.0) -> bool:
        """Whether `value` is better than `than` by more than `by`; NaN is never better."""
        gain = value - than if self.higher_is_better else than - value
        return bool(gain > by)

    @property
    def direction(self) -> str:
        return "maximize" if self.higher_is_better else "minimize"


def _of_rows(
    name: str,
    row_values: Callable[[np.ndarray, np.ndarray], np.ndarray],
    of_mean: Callable[[float], float] = float,
    higher_is_better: bool = False,
    of_decisions: bool = False,
    needs: str = "",
    of_ratios: bool = False,
) -> Metric:
    def compute(y: np.ndarray, p: np.ndarray) -> float:
        return float(of_mean(row_values(y, p).mean(dtype=np.float64)))

    return Metric(name, higher_is_better, compute, row_values, of_mean, of_decisions, needs, of_ratios)


def _of_decisions(name: str, score: Score) -> Metric:
    return Metric(name, True, averaged_over_labels(score), of_decisions=True)


def _of_ranks(name: str, score: Score) -> Metric:
    return Metric(name, True, averaged_over_labels(score), needs="rows of every class")


def _squared_error(y: np.ndarray, p: np.ndarray) -> np.ndarray:
    return np.square(p - y, dtype=np.float64).reshape(len(y), -1).mean(axis=1)


def _absolute_error(y: np.ndarray, p: np.ndarray) -> np.ndarray:
    return np.abs(p - y).reshape(len(y), -1).mean(axis=1, dtype=np.float64)


def _squared_log_error(y: np.ndarray, p: np.ndarray) -> np.ndarray:
    """Of log(1 + value); a negative prediction counts as 0. NaN for a target below 0."""
    logs = np.log1p(np.where(y < 0, np.nan, y).astype(np.float64)) - np.log1p(np.maximum(p, 0).astype(np.float64))
    return np.square(logs).reshape(len(y), -1).mean(axis=1)


def _relative_error(y: np.ndarray, p: np.ndarray) -> np.ndarray:
    """|prediction - target| / |target|; NaN for a target of 0."""
    sizes = np.abs(np.where(y == 0, np.nan, y).astype(np.float64))
    return (np.abs(p - y) / sizes).reshape(len(y), -1).mean(axis=1)


def _pinball(y: np.ndarray, p: np.ndarray) -> np.ndarray:
    """The pinball loss (Koenker and Bassett, 1978), averaged over the levels; NaN for predictions without levels."""
    if p.ndim < 3:
        return np.full(len(y), np.nan)
    above, levels = y[:, None].astype(np.float64) - p[..., 0], p[..., 1]
    return np.maximum(levels * above, (levels - 1) * above).mean(axis=1)


def _r2(y: np.ndarray, p: np.ndarray) -> float:
    """Coefficient of determination, averaged over the targets; NaN where a target is constant."""
    total = np.square(y - y.mean(axis=0, dtype=np.float64)).sum(axis=0)
    if not np.all(total):
        return float("nan")
    return float(np.mean(1 - np.square(p - y, dtype=np.float64).sum(axis=0) / total))


CLASSIFICATION = (
    _of_rows("accuracy", of_classes.hits, higher_is_better=True, of_decisions=True),
    _of_rows("log_loss", of_classes.negative_log_likelihood),
    _of_decisions("macro_f1", of_classes.macro_f1),
    _of_ranks("roc_auc", of_classes.roc_auc),
    _of_ranks("pr_auc", of_classes.pr_auc),
    _of_rows("brier", of_classes.squared_distance),
    _of_decisions("balanced_accuracy", of_classes.balanced_accuracy),
)
F1 = _of_decisions("f1", of_classes.f1)  # the F1 of the second class, so it needs two classes
REGRESSION = (
    _of_rows("rmse", _squared_error, np.sqrt),
    _of_rows("mae", _absolute_error),
    Metric("r2", True, _r2, needs="rows of different targets"),
    _of_rows("rmsle", _squared_log_error, np.sqrt, needs="targets of 0 or more", of_ratios=True),
    _of_rows("mape", _relative_error, needs="targets other than 0", of_ratios=True),
    replace(_of_rows("quantile_loss", _pinball, needs="data.quantiles"), of_quantiles=True),
)
BY_NAME = {metric.name: metric for metric in (*CLASSIFICATION, F1, *REGRESSION)}


def task_metrics(task: str) -> tuple[Metric, ...]:
    """The metrics that are reported for a task, and by which a search can rank its trials."""
    if task == "regression":
        return REGRESSION
    return CLASSIFICATION if task == "multiclass" else (*CLASSIFICATION, F1)


def bootstrap_intervals(
    predictions: Mapping[Metric, np.ndarray], y: np.ndarray, samples: int, confidence: float, seed: int
) -> dict[str, tuple[float, float]]:
    """Percentile bootstrap over rows (Efron and Tibshirani, 1993): name → (low, high).

    Resamples in which a metric is NaN do not count.

    Args:
        predictions: the array from which each metric is computed.
    """
    generator = np.random.default_rng(seed)
    values = np.empty((samples, len(predictions)))
    for sample in range(samples):
        rows = generator.integers(0, len(y), len(y))
        values[sample] = [metric.compute(y[rows], predicted[rows]) for metric, predicted in predictions.items()]
    tail = (1 - confidence) / 2
    low, high = np.nanquantile(values, [tail, 1 - tail], axis=0)
    return {metric.name: (float(low[i]), float(high[i])) for i, metric in enumerate(predictions)}
