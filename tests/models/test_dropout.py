"""Dropout: values are dropped independently, at the rate that was asked for, and again for the same seed."""

import keras
import numpy as np
import tensorflow as tf

from models.network.dropout import Dropout

SHAPE, STEPS, RATE = (64, 512), 200, 0.1
ERROR = 4 / np.sqrt(STEPS * SHAPE[0] * SHAPE[1])  # four standard deviations of a mean of products


def kept(compiled: bool, seed: int = 7) -> np.ndarray:
    """Whether each value stays, (STEPS, rows, columns), standardised."""
    layer = Dropout(RATE, seed=seed)
    step = tf.function(lambda: layer(tf.ones(SHAPE), training=True), jit_compile=compiled)
    values = np.stack([step() for _ in range(STEPS)])
    assert set(np.unique(values)) == {np.float32(0), np.float32(1 / (1 - RATE))}
    return ((values > 0) - (1 - RATE)) / np.sqrt(RATE * (1 - RATE))


def test_values_are_dropped_at_the_rate_and_independently() -> None:
    values, others = kept(compiled=True), kept(compiled=True, seed=8)
    assert abs(values.mean()) < ERROR
    position = values.mean(axis=0) * np.sqrt(STEPS)
    assert abs(position.std() - 1) < 0.02, "no place is dropped more or less evenly than by chance"
    for lag in (1, 2, 64):
        assert abs((values[lag:] * values[:-lag]).mean()) < ERROR, f"steps {lag} apart"
        assert abs((values[:, :, lag:] * values[:, :, :-lag]).mean()) < ERROR, f"columns {lag} apart"
    assert abs((values[:, 1:] * values[:, :-1]).mean()) < ERROR
    assert abs((values * others).mean()) < ERROR, "two layers drop alike"


def test_a_seed_drops_the_same_values_compiled_or_not() -> None:
    np.testing.assert_array_equal(kept(compiled=True), kept(compiled=False))


def test_nothing_is_dropped_in_inference_and_gradients_follow_what_stays() -> None:
    layer, values = Dropout(0.5, seed=1), tf.random.stateless_normal((8, 4), (1, 2))
    np.testing.assert_array_equal(layer(values, training=False), values)
    with tf.GradientTape() as tape:
        tape.watch(values)
        dropped = layer(values, training=True)
    np.testing.assert_array_equal(tape.gradient(dropped, values), np.where(dropped == 0, 0, 2))


def test_the_layer_is_saved_as_what_it_is() -> None:
    assert isinstance(Dropout.from_config(Dropout(0.5).get_config()), Dropout)
    assert keras.saving.get_registered_name(Dropout) == "mlp>Dropout"
