"""The learning rate range test, which suggests a learning rate (Smith, 2017, arXiv 1506.01186)."""

import keras
import numpy as np
import tensorflow as tf

from contracts.schema import Schema
from contracts.spec import Spec
from models.network import build
from models.training.data import Split
from models.training.fit import compile_trainer

LOW, HIGH, STEPS = 1e-5, 10.0, 300
SMOOTHING = 0.95  # of the exponential moving average of the losses
DIVISOR = 10  # the suggestion is the rate of the lowest loss divided by this (Géron, chapter 11)
FLAT = 0.05  # of the range of the losses, below which their rise at the end is none


def lr_range(spec: Spec, schema: Schema, train: Split, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Train with a learning rate that grows by a constant factor each step, until the loss diverges.

    Returns:
        learning rates and smoothed losses, both of shape (n_steps,).
    """
    keras.utils.set_random_seed(seed)
    network = build.build(spec, schema)
    trainer = compile_trainer(network, spec.model_copy(update={"schedule": "constant"}), schema, train, train, 1)
    generator = np.random.default_rng(seed)
    size = min(spec.batch_size, len(train.target))
    train_on = tf.function(trainer.train_on, autograph=False)
    rates, losses, mean = np.geomspace(LOW, HIGH, STEPS), [], 0.0
    for step, rate in enumerate(rates):
        trainer.optimizer.learning_rate = rate
        trainer.reset_metrics()
        train_on(trainer.data, tf.constant(generator.choice(len(train.target), size, replace=False)))
        loss = float(trainer.get_metrics_result()["loss"])
        mean = SMOOTHING * mean + (1 - SMOOTHING) * loss
        losses.append(mean / (1 - SMOOTHING ** (step + 1)))
        if not np.isfinite(losses[-1]) or losses[-1] > 4 * losses[0]:
            losses.pop()
            break
    return rates[: len(losses)], np.array(losses)


def suggestion(rates: np.ndarray, losses: np.ndarray) -> float:
    """A tenth of the learning rate with the lowest loss, above which the loss rises; if it rises nowhere, as where
    classes are easy to tell apart, the rate at which it falls fastest.
    """
    if len(losses) > 1 and losses[-1] - losses.min() < FLAT * np.ptp(losses):
        return float(rates[int(np.argmin(np.gradient(losses)))])
    return float(rates[int(np.argmin(losses))] / DIVISOR)
