"""Train a network with early stopping, which keeps the weights of the best epoch."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from contracts.metrics import BY_NAME
from contracts.schema import Schema
from contracts.spec import Spec
from models.network import build, heads
from models.training import optimizers
from models.training.checkpoint import Checkpoint
from models.training.data import Split
from models.training.epoch import EpochTrainer
from models.training.stream import Stream, StreamTrainer

# XLA compiles for about a second, after which a step takes a fraction of its time: faster from this many steps on.
XLA_MIN_STEPS = 100
# TensorFlow's graph optimizer, Grappler, takes half a second; with fewer steps an epoch it saves less.
GRAPPLER_MIN_STEPS = 32


class TrialDiverged(Exception):
    """The loss is NaN or infinite: these hyperparameters cannot be trained."""


@dataclass(frozen=True)
class Fitted:
    """A trained network with the weights of its best epoch, and the losses and metrics of every epoch."""

    network: keras.Model
    history: dict[str, list[float]]
    best_epoch: int


def fit(
    spec: Spec,
    schema: Schema,
    train: Split | Stream,
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
        monitor: the name of the validation metric that decides, from `contracts.metrics`.
        on_epoch: called with the epoch, from 0, and its validation metric, also for the epochs before a checkpoint; it
            may raise to stop the training.
        prepare: called with the new network before the training, for example to reuse layers.
        checkpoint: file for the state of the training. Where it exists, the training resumes from it; a training that
            ends removes it.

    Raises:
        TrialDiverged: when the loss is NaN or infinite.
    """
    keras.utils.set_random_seed(seed)
    network = build.build(spec, schema)
    prepare(network)
    trainer = compile_trainer(network, spec, schema, train, validation, epochs, monitor, seed)
    name, mode = f"val_{monitor}", "max" if higher_is_better else "min"
    stopping = keras.callbacks.EarlyStopping(name, mode=mode, patience=patience, restore_best_weights=True)
    callbacks = [*optimizers.callbacks(spec, name, mode), _EpochReporter(name, on_epoch), stopping]
    first_epoch = 0
    if checkpoint is not None:
        saver = Checkpoint(checkpoint, stopping, callbacks)
        first_epoch = saver.restore(trainer)
        for epoch, value in enumerate(saver.history.get(name, [])):
            on_epoch(epoch, value)
        callbacks.append(saver)
    if isinstance(train, Stream):
        epochs_of_rows = epoch_numbers(first_epoch)
    else:
        epochs_of_rows = shuffled_row_indices(len(train.target), seed, first_epoch)
    history = trainer.fit(
        epochs_of_rows,
        steps_per_epoch=1,
        initial_epoch=first_epoch,
        epochs=epochs,
        validation_data=trainer.validation,
        callbacks=callbacks,
        shuffle=False,  # the row indices are shuffled already
        verbose=0,
    ).history
    if checkpoint is not None:
        history = saver.history
        checkpoint.unlink(missing_ok=True)
    return Fitted(build.to_float32(network, spec, schema), history, int(stopping.best_epoch))


def compile_trainer(
    network: keras.Model, spec: Spec, schema: Schema, train: Split | Stream, validation: Split, epochs: int,
    monitor: str | None = None, seed: int = 0,
) -> EpochTrainer:  # fmt: skip
    """A trainer with optimizer, loss and metrics, among them the validation metric `monitor`.

    Args:
        seed: decides the order of a stream.
    """
    steps = -(-(len(train) if isinstance(train, Stream) else len(train.target)) // spec.batch_size)
    metrics = heads.metrics(schema)
    by_keras = {metric.name for metric in metrics}
    validation_metric = None if monitor is None or monitor in by_keras else BY_NAME[monitor]
    trainer: EpochTrainer
    if isinstance(train, Stream):
        trainer = StreamTrainer(network, spec, train, validation, steps > XLA_MIN_STEPS, seed, validation_metric)
    else:
        trainer = EpochTrainer(network, spec, schema, train, validation, steps > XLA_MIN_STEPS, validation_metric)
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": steps < GRAPPLER_MIN_STEPS})
    trainer.compile(
        optimizer=optimizers.optimizer(spec, steps, epochs),
        loss=trainer.loss_of_rows,
        metrics=metrics,
        jit_compile=False,  # the trainer compiles the steps itself, see EpochTrainer
    )
    trainer.create_variables()
    return trainer


def shuffled_row_indices(n_rows: int, seed: int, first_epoch: int = 0) -> tf.data.Dataset:
    """An endless dataset of row indices, int32 of shape (n_rows,): a new permutation per epoch, the same for a seed."""
    rows = tf.range(n_rows)
    shuffle = tf.random.experimental.stateless_shuffle
    return epoch_numbers(first_epoch).map(lambda epoch: shuffle(rows, seed=[seed, epoch]))


def epoch_numbers(first_epoch: int = 0) -> tf.data.Dataset:
    """An endless dataset of the numbers of epochs."""
    options = tf.data.Options()
    options.autotune.enabled = False  # its thread delays the end of a training by up to seconds
    return tf.data.Dataset.counter(first_epoch).with_options(options)


class _EpochReporter(keras.callbacks.Callback):
    """Passes the validation metric of each epoch on, and stops a training whose loss is NaN or infinite."""

    def __init__(self, name: str, on_epoch: Callable[[int, float], None]) -> None:
        super().__init__()
        self.name, self.on_epoch = name, on_epoch

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        if not np.isfinite(logs["loss"]):
            raise TrialDiverged(f"the loss is {logs['loss']} after epoch {epoch + 1}: try a lower learning rate")
        if not np.isfinite(logs[self.name]):
            raise TrialDiverged(
                f"{self.name} is {logs[self.name]} after epoch {epoch + 1}, though the loss is {logs['loss']:.4g}: the "
                "validation rows, or those of a fold, do not define it, or the predictions are too large"
            )
        self.on_epoch(epoch, logs[self.name])
