"""From the last hidden layer to predictions, and the loss and metrics that fit them."""

import keras
import numpy as np

from pipeline.schema import NumericTarget, Schema


def head(schema: Schema, hidden: keras.KerasTensor) -> keras.KerasTensor:
    """Class probabilities (n_rows, n_classes), the second class's (n_rows, 1), or values (n_rows, 1)."""
    if isinstance(schema.target, NumericTarget):
        # The network learns the standardised target; the graph gives it back in its own unit.
        value = keras.layers.Dense(1, name="standardised")(hidden)
        return keras.layers.Rescaling(schema.target.std, schema.target.mean, name="prediction")(value)
    if schema.task == "binary":
        return keras.layers.Dense(1, activation="sigmoid", name="prediction")(hidden)
    return keras.layers.Dense(len(schema.classes), activation="softmax", name="prediction")(hidden)


def labels(schema: Schema, target: np.ndarray) -> np.ndarray:
    """Targets of shape (n_rows,) in the shape that the head's loss compares with its output."""
    return target if schema.task == "multiclass" else target.astype(np.float32)[:, None]


def loss(schema: Schema) -> keras.losses.Loss:
    match schema.task:
        case "regression":
            return keras.losses.MeanSquaredError()
        case "binary":
            return keras.losses.BinaryCrossentropy()
        case _:
            return keras.losses.SparseCategoricalCrossentropy()


def metrics(schema: Schema) -> list[keras.metrics.Metric]:
    """What is watched in training, under the names that `pipeline.metrics` gives the same numbers."""
    match schema.task:
        case "regression":
            return [keras.metrics.RootMeanSquaredError("rmse"), keras.metrics.MeanAbsoluteError("mae")]
        case "binary":
            return [keras.metrics.BinaryCrossentropy("log_loss"), keras.metrics.BinaryAccuracy("accuracy")]
        case _:
            return [
                keras.metrics.SparseCategoricalCrossentropy("log_loss"),
                keras.metrics.SparseCategoricalAccuracy("accuracy"),
            ]
