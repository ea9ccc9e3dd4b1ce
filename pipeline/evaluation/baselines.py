"""The baseline: predictions without the features."""

import numpy as np

from contracts.schema import ClassTarget, LabelsTarget, NumericTargets, Schema


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
