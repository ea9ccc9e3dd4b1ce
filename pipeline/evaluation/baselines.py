"""The predictions that anything worth serving must beat."""

import numpy as np

from contracts.schema import ClassTarget, LabelsTarget, NumericTargets, Schema


def baseline_predictions(schema: Schema, n_rows: int) -> np.ndarray:
    """What is predicted knowing only the train targets: class frequencies, or the mean.

    The most frequent class is then the predicted one, as with scikit-learn's DummyClassifier.

    Returns:
        probabilities of shape (n_rows, n_classes), or values of shape (n_rows,), or (n_rows, n_outputs).
    """
    if isinstance(schema.target, ClassTarget | LabelsTarget):
        return np.tile(np.array(schema.target.frequencies, dtype=np.float32), (n_rows, 1))
    if isinstance(schema.target, NumericTargets):
        return np.tile(np.array([t.mean for t in schema.target.targets], dtype=np.float32), (n_rows, 1))
    return np.full(n_rows, schema.target.mean, dtype=np.float32)
