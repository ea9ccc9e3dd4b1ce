"""Train a network: one call into compiled code per epoch, early stopping, the best weights kept."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from contracts.schema import Schema
from contracts.spec import Spec
from models.network import build, heads
from models.training import optimizers
from models.training.checkpoint import Checkpoint
from models.training.data import Split
from models.training.epoch import EpochTrainer

# XLA compiles for about a second and then makes a step several times cheaper: worth it from here on.
STEPS_WORTH_COMPILING = 100


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
    prepare: Callable[[keras.Model], None] = lambda network: None,
    checkpoint: Path | None = None,
) -> Fitted:
    """Train until the validation metric has not improved for `patience` epochs.

    Args:
        monitor: the metric that decides, as `contracts.metrics` names it.
        on_epoch: told the epoch, from 0, and its validation metric; may raise to end the training.
        prepare: given the network before it is trained, to start from other weights.
        checkpoint: file that holds the training's whole state after its last epochs; where it exists, the
            training goes on from there, and it is removed at the end.

    Raises:
        TrialDiverged: when the loss is NaN or infinite.
    """
    keras.utils.set_random_seed(seed)
    network = build.build(spec, schema)
    prepare(network)
    trainer = compiled(network, spec, schema, train, validation, epochs)
    name, mode = f"val_{monitor}", "max" if higher_is_better else "min"
    stopping = keras.callbacks.EarlyStopping(name, mode=mode, patience=patience, restore_best_weights=True)
    callbacks = [*optimizers.callbacks(spec, name, mode), _Report(name, on_epoch), stopping]
    begin = 0
    if checkpoint is not None:
        saver = Checkpoint(checkpoint, stopping)
        begin = saver.restore(trainer)
        callbacks.append(saver)
    history = trainer.fit(
        shuffled_row_indices(len(train.target), seed, begin),
        steps_per_epoch=1,
        initial_epoch=begin,
        epochs=epochs,
        validation_data=trainer.validation,
        callbacks=callbacks,
        shuffle=False,  # the orders are shuffled already
        verbose=0,
    ).history
    if checkpoint is not None:
        history = saver.history
        checkpoint.unlink(missing_ok=True)
    return Fitted(build.to_float32(network, spec, schema), history, int(stopping.best_epoch))


def compiled(
    network: keras.Model, spec: Spec, schema: Schema, train: Split, validation: Split, epochs: int
) -> EpochTrainer:
    """A trainer with its optimizer, ready to fit."""
    steps = -(-len(train.target) // spec.batch_size)
    trainer = EpochTrainer(network, spec, schema, train, validation, uses_xla=steps > STEPS_WORTH_COMPILING)
    trainer.compile(
        optimizer=optimizers.optimizer(spec, steps, epochs),
        loss=trainer.loss_of_rows,
        metrics=heads.metrics(schema),
        jit_compile=False,  # where it pays, the trainer does it
    )
    trainer.make_variables()
    return trainer


def shuffled_row_indices(n_rows: int, seed: int, first_epoch: int = 0) -> tf.data.Dataset:
    """The order of the rows in each epoch: without end, new each time, the same for the same seed."""
    rows = tf.range(n_rows)
    counter = tf.data.Dataset.counter(first_epoch)
    options = tf.data.Options()
    options.autotune.enabled = False  # there is nothing to tune, and a training may end seconds late for its thread
    shuffled = counter.map(lambda epoch: tf.random.experimental.stateless_shuffle(rows, seed=[seed, epoch]))
    return shuffled.with_options(options)


class _Report(keras.callbacks.Callback):
    """Hands on each epoch's validation metric, and ends a training whose loss is no number."""

    def __init__(self, name: str, on_epoch: Callable[[int, float], None]) -> None:
        super().__init__()
        self.name, self.on_epoch = name, on_epoch

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        if not np.isfinite(logs["loss"]) or not np.isfinite(logs[self.name]):
            raise TrialDiverged(f"the loss is {logs['loss']} after epoch {epoch + 1}: try a lower learning rate")
        self.on_epoch(epoch, logs[self.name])
