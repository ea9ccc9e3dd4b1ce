"""The baseline: predictions without the features."""

import numpy as np

from contracts.metrics import Metric
from contracts.quantiles import with_levels
from contracts.schema import ClassTarget, LabelsTarget, NumericTarget, NumericTargets, Schema
from contracts.thresholds import metric_input


def baseline_predictions(schema: Schema, n_rows: int) -> np.ndarray:
    """Predict the class frequencies, or the mean, of the train targets, as scikit-learn's `DummyClassifier` and
    `DummyRegressor` do.

    Returns:
        probabilities of shape (n_rows, n_classes), or values of shape (n_rows,), or (n_rows, n_outputs).
    """
    if isinstance(schema.target, ClassTarget | LabelsTarget):
        return np.tile(np.array(schema.target.frequencies, dtype=np.float32), (n_rows, 1))
    if isinstance(schema.target, NumericTargets):
        return np.tile(np.array([t.mean for t in schema.target.targets], dtype=np.float32), (n_rows, 1))
    return np.full(n_rows, schema.target.mean, dtype=np.float32)


def baseline_input(metric: Metric, schema: Schema, n_rows: int) -> np.ndarray:
    """The baseline as the input of a metric; its quantiles are those of the train targets."""
    target, quantiles = schema.target, None
    if isinstance(target, NumericTarget):
        values = np.array([value for _, value in target.quantiles], dtype=np.float32)
        quantiles = with_levels(schema, np.tile(values, (n_rows, 1)))
    return metric_input(metric, baseline_predictions(schema, n_rows), None, quantiles)
