"""The threshold of the second of two classes: how it is chosen, and how a metric uses it."""

import numpy as np

from contracts.encoding import decide
from contracts.metrics import Metric

HALF = 0.5
MAX_TRIED = 200  # thresholds that are tried; more would fit the noise of the rows


def metric_input(
    metric: Metric, predictions: np.ndarray, threshold: float | None, quantiles: np.ndarray | None = None
) -> np.ndarray:
    """The input of a metric: the predictions, or their quantiles with levels. For a metric of decisions it is 1 for the
    class that is predicted and 0 for the other.
    """
    if metric.of_quantiles and quantiles is not None:
        return quantiles
    if threshold is None or not metric.of_decisions:
        return predictions
    return np.eye(2, dtype=np.float32)[decide(predictions, threshold)]


def best_threshold(metric: Metric, y: np.ndarray, probabilities: np.ndarray) -> float:
    """The threshold with the best value of a metric of decisions; of equal ones the nearest to 0.5.

    Args:
        y: codes of shape (n_rows,), 0 or 1.
        probabilities: shape (n_rows, 2).
    """
    second = np.unique(probabilities[:, 1].astype(np.float64))
    between = (second[1:] + second[:-1]) / 2
    if len(between) > MAX_TRIED:
        between = np.quantile(between, np.linspace(0, 1, MAX_TRIED))
    tried = [HALF, *sorted(between.tolist(), key=lambda threshold: abs(threshold - HALF))]
    values = [metric.compute(y, metric_input(metric, probabilities, threshold)) for threshold in tried]
    return tried[int((np.argmax if metric.higher_is_better else np.argmin)(values))]
