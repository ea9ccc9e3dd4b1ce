"""From the last hidden layer to predictions, and the loss and metrics that fit them."""

import keras
import numpy as np
from keras import ops

from contracts.schema import ClassTarget, NumericTarget, NumericTargets, Schema
from contracts.spec import LOSSES, OUTPUTS, Spec
from models.network.layers import serializable


def n_outputs(schema: Schema) -> int:
    """Columns of the graph's output: for two classes only the second one's probability."""
    return 1 if schema.task == "binary" else len(schema.outputs)


def activate(spec: Spec, schema: Schema, name: str, raw: keras.KerasTensor) -> keras.KerasTensor:
    """Probabilities, or values in the unit of the target; the shape (…, n_outputs) stays.

    The network learns a standardised target, of which the graph gives back the unit. Positive outputs are
    in units of the target's spread, bounded ones between `spec.bounds`.
    """
    kind = OUTPUTS[schema.task][0] if spec.output == "auto" else spec.output
    if schema.task != "regression":
        return keras.layers.Activation(kind, name=name)(raw)
    targets = _targets(schema)
    if kind == "linear":
        return keras.layers.Rescaling([t.std for t in targets], [t.mean for t in targets], name=name)(raw)
    activated = keras.layers.Activation(kind)(raw)
    if kind in ("relu", "softplus"):
        return keras.layers.Rescaling([t.std for t in targets], [0.0] * len(targets), name=name)(activated)
    assert spec.bounds is not None
    low, high = spec.bounds
    scale, offset = (high - low, low) if kind == "sigmoid" else ((high - low) / 2, (high + low) / 2)
    return keras.layers.Rescaling(scale, offset, name=name)(activated)


def labels(schema: Schema, target: np.ndarray) -> np.ndarray:
    """Targets in the shape that the head's loss compares with its output."""
    if schema.task == "multiclass":
        return target
    return target.astype(np.float32).reshape(len(target), -1)


@serializable
class SmoothedCrossentropy(keras.losses.Loss):
    """Cross-entropy against codes of classes with smoothed labels, which Keras has for one-hot ones only."""

    def __init__(self, label_smoothing: float, **kwargs) -> None:  # type: ignore[no-untyped-def]
        super().__init__(**kwargs)
        self.label_smoothing = label_smoothing

    def call(self, y_true, y_pred):  # type: ignore[no-untyped-def]
        one_hot = ops.one_hot(ops.cast(y_true, "int32"), y_pred.shape[-1])
        return keras.losses.categorical_crossentropy(one_hot, y_pred, label_smoothing=self.label_smoothing)

    def get_config(self) -> dict:
        return {**super().get_config(), "label_smoothing": self.label_smoothing}


def loss(spec: Spec, schema: Schema) -> keras.losses.Loss:
    """What is minimised; for numbers in units of their spread (see `loss_units`)."""
    kind = LOSSES[schema.task][0] if spec.loss == "auto" else spec.loss
    match schema.task, kind:
        case "multiclass", _:
            if spec.label_smoothing:
                return SmoothedCrossentropy(spec.label_smoothing)
            return keras.losses.SparseCategoricalCrossentropy()
        case (("binary" | "multilabel"), _):
            return keras.losses.BinaryCrossentropy(label_smoothing=spec.label_smoothing)
        case _, "mse":
            return keras.losses.MeanSquaredError()
        case _, "mae":
            return keras.losses.MeanAbsoluteError()
        case _:
            return keras.losses.Huber()


def loss_units(schema: Schema) -> np.ndarray | None:
    """By what targets and predictions are divided before the loss, so that one learning rate suits any.

    Returns:
        spread of each output, float32 of shape (n_outputs,); None for classes.
    """
    if schema.task != "regression":
        return None
    return np.array([target.std for target in _targets(schema)], dtype=np.float32)


def metrics(schema: Schema) -> list[keras.metrics.Metric]:
    """What is watched in training, under the names that `contracts.metrics` gives the same numbers."""
    match schema.task:
        case "regression":
            return [keras.metrics.RootMeanSquaredError("rmse"), keras.metrics.MeanAbsoluteError("mae")]
        case "binary" | "multilabel":
            return [keras.metrics.BinaryCrossentropy("log_loss"), keras.metrics.BinaryAccuracy("accuracy")]
        case _:
            return [
                keras.metrics.SparseCategoricalCrossentropy("log_loss"),
                keras.metrics.SparseCategoricalAccuracy("accuracy"),
            ]


def class_weights(schema: Schema, weights: str | dict[str, float]) -> np.ndarray | None:
    """A weight for each class, in the order of their codes; None where all count the same.

    `balanced`: inversely proportional to how often a class is seen, 1 on average over the rows (King and
    Zeng, 2001).
    """
    if weights == "none" or not isinstance(schema.target, ClassTarget):
        return None
    if isinstance(weights, dict):
        return np.array([weights.get(name, 1.0) for name in schema.classes], dtype=np.float32)
    shares = np.array(schema.target.frequencies)
    return (1 / (len(shares) * np.maximum(shares, 1e-12))).astype(np.float32)


def _targets(schema: Schema) -> tuple[NumericTarget, ...]:
    target = schema.target
    assert isinstance(target, NumericTarget | NumericTargets)
    return target.targets if isinstance(target, NumericTargets) else (target,)
