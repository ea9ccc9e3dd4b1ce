"""An epoch in one call to TensorFlow, inside `keras.Model.fit`.

For a small network Keras' call per batch takes longer than the batch. The figures are in
`docs/decisions/0004-compiled-epoch.md`.
"""

import keras
import numpy as np
import tensorflow as tf

from contracts.metrics import Metric
from contracts.quantiles import judged
from contracts.schema import Schema
from contracts.spec import Spec
from models.network import heads
from models.network.build import AUXILIARY, MAIN
from models.network.layers import deal
from models.training.data import Split

VALIDATION_ROWS = 8192  # rows of one network per validation step, to bound its memory; an ensemble's members share them


class EpochTrainer(keras.Model):
    """Trains `network` with the data on the device and all steps of an epoch in one `tf.function`.

    `fit` gets the row indices of each epoch as its data. `train_step` runs Keras' own train step on each batch of them,
    the last partial batch included, so that losses, metrics, callbacks and history are those of plain `fit` on the same
    batches. Where rows are dealt to members, the last batch is filled up.

    Args:
        uses_xla: compile the steps on full batches with XLA. The last partial batch and the validation run once an
            epoch: compiling each of them takes a third of a second and saves nothing.
        validation_metric: a metric that Keras does not compute in batches; it is computed on the validation rows only.
    """

    def __init__(
        self, network: keras.Model, spec: Spec, schema: Schema, train: Split, validation: Split, uses_xla: bool,
        validation_metric: Metric | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.uses_xla = uses_xla
        self.network = network
        self.has_shares = schema.task == "multiclass" and train.target.ndim == 2  # of classes, in the train targets
        self.loss_of_rows = heads.loss(spec, schema, self.has_shares)
        self.loss_scale = heads.loss_scale(spec, schema)
        self.auxiliary_weight = spec.auxiliary_weight
        self.members, self.members_per_row = spec.members, spec.dealt_to
        self.batch_size = spec.batch_size
        self.validation_rows = VALIDATION_ROWS // (spec.members if spec.family == "ensemble" else 1)
        self.data = tuple(_to_tensor(part) for part in labelled(schema, train))
        self.validation = tuple(_to_tensor(part) for part in labelled(schema, validation, self.has_shares))
        names = (MAIN, AUXILIARY) if spec.auxiliary_weight else ()
        self.median = schema.levels.index(0.5) if schema.levels else 0
        self.schema, self.validation_target, self.validation_metric = schema, validation.target, validation_metric
        self.output_losses = {name: keras.metrics.Mean(f"{name}_loss") for name in names}

    def create_variables(self) -> None:
        """Create the variables of optimizer and metrics before the first trace; else TensorFlow traces twice."""
        self.optimizer.build(self.network.trainable_variables)
        features, labels = self.data[0][:1], self.data[1][:1]
        predictions = self(features)
        self.compute_metrics(features, labels, predictions)
        self.reset_metrics()

    def call(self, features: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        return self.network(features, training=training)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):  # type: ignore[no-untyped-def]
        """The mean over the rows of weight times loss, plus the regularisation losses.

        The loss of an ensemble is the mean over its members. With an auxiliary output the loss is the sum of both
        outputs' losses, weighted by `auxiliary_weight`.
        """
        outputs = y_pred if isinstance(y_pred, dict) else {MAIN: y_pred}
        shares = {MAIN: 1 - self.auxiliary_weight, AUXILIARY: self.auxiliary_weight}
        total = tf.add_n([0.0, *self.losses])
        for name, output in outputs.items():
            target, weight = y, sample_weight
            if self._is_dealt(y, output):
                target, weight = self._deal(y), None if weight is None else self._deal(weight)
            elif len(output.shape) == 3:  # one prediction for each member
                target = tf.repeat(tf.expand_dims(y, 1), output.shape[1], axis=1)
                weight = None if weight is None else tf.expand_dims(weight, 1)
            loss = self.loss_of_rows(self.loss_scale(target), self.loss_scale(output), weight)
            if self.output_losses:
                self.output_losses[name].update_state(loss, sample_weight=tf.shape(y)[0])
            total += shares[name] * loss
        return total

    def compute_metrics(self, x, y, y_pred, sample_weight=None):  # type: ignore[no-untyped-def]
        if self._is_dealt(y, _each(y_pred)):
            members = _each(y_pred)
            y, y_pred = tf.reshape(self._deal(y), (-1, *y.shape[1:])), tf.reshape(members, (-1, members.shape[2]))
        predictions = _main(y_pred)
        if self.has_shares:  # the metrics take codes
            y = tf.argmax(y, axis=1)
        if self.schema.levels:
            median = slice(self.median, self.median + 1)
            y, predictions = y if y.shape[1] == 1 else y[:, median], predictions[:, median]
        return super().compute_metrics(x, y, predictions)

    def _is_dealt(self, y: tf.Tensor, output: tf.Tensor) -> bool:
        return len(output.shape) == 3 and output.shape[0] != y.shape[0]

    def _deal(self, values: tf.Tensor) -> tf.Tensor:
        assert self.members_per_row is not None
        return deal(values, self.members, self.members_per_row)

    def make_train_function(self, force: bool = False) -> None:
        """Replaces Keras' loop over steps: a call of `train_step` is an epoch."""
        self.train_function = tf.function(lambda epochs: self.train_step(next(epochs)), autograph=False)

    def train_step(self, row_indices: tf.Tensor) -> dict[str, tf.Tensor]:
        row_indices = self._filled(row_indices)
        n_rows = row_indices.shape[0]
        n_full = n_rows // self.batch_size
        batches = tf.reshape(row_indices[: n_full * self.batch_size], (n_full, self.batch_size))

        @tf.function(jit_compile=self.uses_xla, autograph=False)
        def train_on_full() -> None:
            self.train_on_batches(self.data, batches, n_full)

        if n_full:
            train_on_full()
        if n_rows % self.batch_size:
            self.train_on(self.data, row_indices[n_full * self.batch_size :])
        return self.get_metrics_result()

    def train_on(self, parts: tuple[tf.Tensor, ...], rows: tf.Tensor) -> None:
        """One step on these rows of features, labels and weights."""
        super().train_step(tuple(tf.gather(part, rows) for part in parts))

    def train_on_batches(self, parts: tuple[tf.Tensor, ...], batches: tf.Tensor, n_batches: int | tf.Tensor) -> None:
        """A step on each of the first `n_batches` batches of rows, int32 of shape (…, batch_size)."""

        def body(number: tf.Tensor) -> tuple[tf.Tensor]:
            self.train_on(parts, batches[number])
            return (number + 1,)

        tf.while_loop(lambda number: number < n_batches, body, (tf.constant(0),), parallel_iterations=1)

    def _filled(self, row_indices: tf.Tensor) -> tf.Tensor:
        """The row indices of an epoch. If rows are dealt to members, its last batch is full.

        It is filled up with the first rows of the epoch. A partial batch could not be dealt, so that every member would
        learn from all of it: more work than a full one, and a second step to trace.
        """
        n_rows = row_indices.shape[0]
        rest = n_rows % self.batch_size
        if not rest or n_rows < self.batch_size or not self.members_per_row:
            return row_indices
        return tf.concat([row_indices, row_indices[: self.batch_size - rest]], axis=0)

    def evaluate(self, x=None, y=None, callbacks=None, **_):  # type: ignore[no-untyped-def]
        """The validation metrics, for `fit` after each epoch.

        Keras makes a new iterator for each validation, which takes longer than the validation of a small network.
        """
        if getattr(self, "test_function", None) is None:
            self.test_function = tf.function(self.test_step, autograph=False)
        callbacks.on_test_begin()
        self.reset_metrics()
        for first in range(0, len(self.validation[0]), self.validation_rows):
            rows = slice(first, first + self.validation_rows)
            self.test_function(tuple(part[rows] for part in self.validation))
        logs = {name: float(value) for name, value in self.get_metrics_result().items()}
        if self.validation_metric is not None:
            logs[self.validation_metric.name] = self._value_of(self.validation_metric)
        callbacks.on_test_end(logs)
        return logs

    def _value_of(self, metric: Metric) -> float:
        if getattr(self, "validation_outputs", None) is None:
            self.validation_outputs = tf.function(lambda rows: _main(self(rows, training=False)), autograph=False)
        features, n = self.validation[0], self.validation_rows
        parts = [features[first : first + n] for first in range(0, len(features), n)]
        outputs = np.concatenate([self.validation_outputs(part) for part in parts])
        return metric.compute(self.validation_target, judged(metric, self.schema, outputs))


def _each(outputs: tf.Tensor) -> tf.Tensor:
    """The main output; for an ensemble in training, that of each member."""
    return outputs[MAIN] if isinstance(outputs, dict) else outputs


def _main(outputs: tf.Tensor) -> tf.Tensor:
    """The main output, (n_rows, n_outputs); for an ensemble the mean over its members."""
    main = _each(outputs)
    return tf.reduce_mean(main, axis=1) if len(main.shape) == 3 else main


def labelled(schema: Schema, split: Split, as_shares: bool = False) -> tuple[np.ndarray, ...]:
    """Features, labels, and row weights if there are any."""
    parts = (split.features, heads.labels(schema, np.asarray(split.target), as_shares))
    return parts if split.weight is None else (*parts, split.weight)


def _to_tensor(values: np.ndarray) -> tf.Tensor:
    """A copy on the device. On a CPU a memory-mapped file is not copied: all trials on a machine share its pages."""
    if isinstance(values, np.memmap) and not tf.config.list_physical_devices("GPU"):
        return tf.experimental.dlpack.from_dlpack(values.__dlpack__())
    return tf.constant(values)
