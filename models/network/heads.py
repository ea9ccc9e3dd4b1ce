"""Output activation, loss and metrics of each task."""

from collections.abc import Callable

import keras
import numpy as np
from keras import ops

from contracts.schema import Schema
from contracts.spec import LOSSES, OUTPUTS, Spec
from models.network.layers import Exponential
from models.network.table_layers import ClipOutput, Quantiles

TINY = float(np.finfo(np.float32).tiny)


def n_outputs(schema: Schema) -> int:
    """The number of outputs of the network. A binary one has only the probability of the second class."""
    return 1 if schema.task == "binary" else len(schema.levels or schema.outputs)


def activate(spec: Spec, schema: Schema, name: str, raw: keras.KerasTensor) -> keras.KerasTensor:
    """Probabilities, or values in the unit of the target; the shape (…, n_outputs) stays.

    Every activation keeps the order of quantiles. With `spec.clip_output` the predictions of a trained network lie
    within the range of the train targets.
    """
    if schema.levels:
        raw = Quantiles(list(schema.levels), dtype="float32", name=f"{name}_quantiles")(raw)  # as `raw`
    if not spec.clip_output or schema.task != "regression":
        return _activate(spec, schema, name, raw)
    ends = [(target.minimum or 0.0, target.maximum or 0.0) for target in schema.numbers]
    clip = ClipOutput([low for low, _ in ends], [high for _, high in ends], name=name)
    return clip(_activate(spec, schema, f"{name}_unclipped", raw))


def _activate(spec: Spec, schema: Schema, name: str, raw: keras.KerasTensor) -> keras.KerasTensor:
    """Regression outputs are scaled inside the network: linear ones by standard deviation and mean of the target or of
    its logarithm, positive ones by its standard deviation, bounded ones to `spec.bounds`.
    """
    kind = OUTPUTS[schema.task][0] if spec.output == "auto" else spec.output
    if schema.task != "regression":
        return keras.layers.Activation(kind, name=name)(raw)
    targets = schema.numbers
    if spec.target_scale == "log":
        logs = [target.log for target in targets if target.log is not None]
        return Exponential([t.mean for t in logs], [t.std for t in logs], [t.offset for t in logs], name=name)(raw)
    if kind == "linear":
        return keras.layers.Rescaling([t.std for t in targets], [t.mean for t in targets], name=name)(raw)
    activated = keras.layers.Activation(kind)(raw)
    if kind in ("relu", "softplus"):
        return keras.layers.Rescaling([t.std for t in targets], [0.0] * len(targets), name=name)(activated)
    assert spec.bounds is not None
    low, high = spec.bounds
    scale, offset = (high - low, low) if kind == "sigmoid" else ((high - low) / 2, (high + low) / 2)
    return keras.layers.Rescaling(scale, offset, name=name)(activated)


def labels(schema: Schema, target: np.ndarray, as_shares: bool = False) -> np.ndarray:
    """Targets in the shape and type that the loss takes.

    Args:
        as_shares: whether a target of several classes becomes a share for each of them, instead of a code.
    """
    if schema.task == "multiclass":
        return np.eye(len(schema.classes), dtype=np.float32)[target] if as_shares and target.ndim == 1 else target
    return target.astype(np.float32).reshape(len(target), -1)


class SmoothedCrossentropy(keras.losses.Loss):
    """Cross-entropy with label smoothing for class codes; Keras has it for one-hot targets only."""

    def __init__(self, label_smoothing: float, **kwargs) -> None:  # type: ignore[no-untyped-def]
        super().__init__(**kwargs)
        self.label_smoothing = label_smoothing

    def call(self, y_true, y_pred):  # type: ignore[no-untyped-def]
        one_hot = ops.one_hot(ops.cast(y_true, "int32"), y_pred.shape[-1])
        return keras.losses.categorical_crossentropy(one_hot, y_pred, label_smoothing=self.label_smoothing)


class Pinball(keras.losses.Loss):
    """The pinball loss (Koenker and Bassett, 1978), averaged over quantiles of shape (…, n_levels)."""

    def __init__(self, levels: tuple[float, ...], **kwargs) -> None:  # type: ignore[no-untyped-def]
        super().__init__(**kwargs)
        self.levels = np.array(levels, dtype=np.float32)

    def call(self, y_true, y_pred):  # type: ignore[no-untyped-def]
        above = y_true - y_pred
        return ops.mean(ops.maximum(self.levels * above, (self.levels - 1) * above), axis=-1)


def loss(spec: Spec, schema: Schema, of_shares: bool = False) -> keras.losses.Loss:
    """The loss of a spec, for a regression on the scale of `loss_scale`.

    Args:
        of_shares: whether a target of several classes is a share for each of them, instead of a code.
    """
    if schema.levels:
        return Pinball(schema.levels)
    kind = LOSSES[schema.task][0] if spec.loss == "auto" else spec.loss
    match schema.task, kind:
        case "multiclass", _:
            if of_shares:
                return keras.losses.CategoricalCrossentropy(label_smoothing=spec.label_smoothing)
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


def loss_scale(spec: Spec, schema: Schema) -> Callable[[keras.KerasTensor], keras.KerasTensor]:
    """The function that turns targets and predictions of shape (…, n_outputs) into the numbers that a loss compares.
    Those of a regression have a standard deviation of 1, so that learning rates do not depend on the unit.
    """
    if schema.task != "regression":
        return lambda values: values
    if spec.target_scale == "plain":
        stds = np.array([target.std for target in schema.numbers], dtype=np.float32)
        return lambda values: values / stds
    logs = [target.log for target in schema.numbers if target.log is not None]
    offsets, stds = (np.array([getattr(log, name) for log in logs], np.float32) for name in ("offset", "std"))
    # A value of other rows may lie below those of the train rows.
    return lambda values: ops.log(ops.maximum(values + offsets, TINY)) / stds


def metrics(schema: Schema) -> list[keras.metrics.Metric]:
    """The metrics of each epoch, with the names of `contracts.metrics`."""
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
