"""Train a network: one call into compiled code per epoch, early stopping, the best weights kept."""

from collections.abc import Callable
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf

from models import heads, mlp
from models.spec import Spec
from models.trial import Split
from pipeline.schema import NumericTarget, Schema

# XLA compiles for about a second and then makes a step several times cheaper: worth it from here on.
STEPS_WORTH_COMPILING = 100
VALIDATION_ROWS = 8192  # rows per validation step; large ones are cheap, endless ones are not


class TrialDiverged(Exception):
    """The loss is no number any more: this configuration cannot be trained."""


@dataclass(frozen=True)
class Fitted:
    """A trained network with the weights of its best epoch, and every epoch's numbers."""

    network: keras.Model
    history: dict[str, list[float]]
    best_epoch: int


def fit(
    spec: Spec,
    schema: Schema,
    train: Split,
    validation: Split,
    *,
    monitor: str,
    higher_is_better: bool,
    epochs: int,
    patience: int,
    seed: int,
    on_epoch: Callable[[int, float], None] = lambda epoch, value: None,
) -> Fitted:
    """Train until the validation metric has not improved for `patience` epochs.

    Args:
        monitor: the metric that decides, as `pipeline.metrics` names it.
        on_epoch: told the epoch, from 0, and its validation metric; may raise to end the training.

    Raises:
        TrialDiverged: when the loss is NaN or infinite.
    """
    keras.utils.set_random_seed(seed)
    network = mlp.build(spec, schema)
    trainer = EpochTrainer(network, schema, train, validation, spec.batch_size)
    trainer.compile(
        optimizer=mlp.optimizer(spec),
        loss=heads.loss(schema),
        metrics=heads.metrics(schema),
        jit_compile=len(train.target) // spec.batch_size >= STEPS_WORTH_COMPILING,
    )
    trainer.make_variables()
    stopping = keras.callbacks.EarlyStopping(
        f"val_{monitor}", mode="max" if higher_is_better else "min", patience=patience, restore_best_weights=True
    )
    history = trainer.fit(
        _orders(len(train.target), seed),
        steps_per_epoch=1,
        epochs=epochs,
        validation_data=trainer.validation,
        callbacks=[_Report(f"val_{monitor}", on_epoch), stopping],
        shuffle=False,  # the orders are shuffled already
        verbose=0,
    ).history
    return Fitted(network, history, int(stopping.best_epoch))


def _orders(n_rows: int, seed: int) -> tf.data.Dataset:
    """The order of the rows in each epoch: without end, new each time, the same for the same seed."""
    rows = tf.range(n_rows)
    counter = tf.data.Dataset.counter()
    return counter.map(lambda epoch: tf.random.experimental.stateless_shuffle(rows, seed=[seed, epoch]))


class EpochTrainer(keras.Model):
    """Trains `network` with the data on the device and all steps of an epoch in one compiled program.

    Keras' `fit` calls into TensorFlow once a batch, which costs more than the batch itself for a small
    network. Here `fit` is given the order of the rows, and `train_step` runs through all batches of an
    epoch, the last partial one too, with Keras' own step for each: losses, metrics, callbacks and history
    are those of plain `fit` on the same order of batches.
    """

    def __init__(self, network: keras.Model, schema: Schema, train: Split, validation: Split, batch_size: int) -> None:
        super().__init__()
        self.network = network
        self.target = schema.target
        self.batch_size = batch_size
        self.features, self.labels = _on_device(schema, train)
        self.validation = _on_device(schema, validation)

    def make_variables(self) -> None:
        """Create the variables of optimizer and metrics, which would otherwise cost a second tracing."""
        self.optimizer.build(self.network.trainable_variables)
        features, labels = self.features[:1], self.labels[:1]
        predictions = self(features)
        self.compute_loss(features, labels, predictions)
        self.compute_metrics(features, labels, predictions)
        self.reset_metrics()

    def call(self, features: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        return self.network(features, training=training)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):  # type: ignore[no-untyped-def]
        if isinstance(self.target, NumericTarget):
            # In units of the target's spread, so that one learning rate suits any target.
            y, y_pred = y / self.target.std, y_pred / self.target.std
        return super().compute_loss(x, y, y_pred, sample_weight, training)

    def train_step(self, order: tf.Tensor) -> dict[str, tf.Tensor]:
        n_rows = order.shape[0]
        n_full = n_rows // self.batch_size
        batches = tf.reshape(order[: n_full * self.batch_size], (n_full, self.batch_size))
        step = super().train_step

        def train_on(rows: tf.Tensor) -> None:
            step((tf.gather(self.features, rows), tf.gather(self.labels, rows)))

        def body(number: tf.Tensor) -> tuple[tf.Tensor]:
            train_on(batches[number])
            return (number + 1,)

        if n_full:
            tf.while_loop(lambda number: number < n_full, body, (tf.constant(0),), parallel_iterations=1)
        if n_rows % self.batch_size:
            train_on(order[n_full * self.batch_size :])
        return self.get_metrics_result()

    def evaluate(self, x=None, y=None, callbacks=None, **_):  # type: ignore[no-untyped-def]
        """Validate on the data on the device, as `fit` asks after each epoch.

        Keras makes a new iterator for each validation, which costs more than validating a small network.
        """
        if getattr(self, "test_function", None) is None:
            self.test_function = tf.function(self.test_step, jit_compile=self.jit_compile, reduce_retracing=False)
        callbacks.on_test_begin()
        self.reset_metrics()
        features, labels = self.validation
        for first in range(0, len(labels), VALIDATION_ROWS):
            rows = slice(first, first + VALIDATION_ROWS)
            self.test_function((features[rows], labels[rows]))
        logs = {name: float(value) for name, value in self.get_metrics_result().items()}
        callbacks.on_test_end(logs)
        return logs


def _on_device(schema: Schema, split: Split) -> tuple[tf.Tensor, tf.Tensor]:
    return tf.constant(split.features), tf.constant(heads.labels(schema, split.target))


class _Report(keras.callbacks.Callback):
    """Hands on each epoch's validation metric, and ends a training whose loss is no number."""

    def __init__(self, name: str, on_epoch: Callable[[int, float], None]) -> None:
        super().__init__()
        self.name, self.on_epoch = name, on_epoch

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        if not np.isfinite(logs["loss"]) or not np.isfinite(logs[self.name]):
            raise TrialDiverged(f"the loss is {logs['loss']} after epoch {epoch + 1}: try a lower learning rate")
        self.on_epoch(epoch, logs[self.name])
