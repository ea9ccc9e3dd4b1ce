"""Optimizers and learning rate schedules of a spec."""

import math
from collections.abc import Callable

import keras
import tensorflow as tf
from keras import ops

from contracts.spec import Spec


def optimizer(spec: Spec, steps_per_epoch: int, epochs: int) -> keras.optimizers.Optimizer:
    """The optimizer of a spec, whose schedule counts epochs; Keras' schedules count steps."""
    inner = _optimizer(spec, steps_per_epoch, epochs)
    # Small gradients underflow in float16 (Micikevicius et al., 2018).
    return keras.optimizers.LossScaleOptimizer(inner) if spec.precision == "mixed_float16" else inner


def _optimizer(spec: Spec, steps_per_epoch: int, epochs: int) -> keras.optimizers.Optimizer:
    rate = learning_rate(spec, steps_per_epoch, epochs)
    ema = {"use_ema": True, "ema_momentum": spec.ema} if spec.ema else {}
    match spec.optimizer:
        case "adam":
            return keras.optimizers.Adam(rate, beta_2=spec.beta_2, **ema)
        case "adamw":
            return keras.optimizers.AdamW(rate, spec.weight_decay, beta_2=spec.beta_2, **ema)
        case "nadam":
            return keras.optimizers.Nadam(rate, beta_2=spec.beta_2, **ema)
        case "rmsprop":
            return keras.optimizers.RMSprop(rate, **ema)
        case "sgd":
            return keras.optimizers.SGD(rate, momentum=spec.momentum, nesterov=spec.nesterov, **ema)


def learning_rate(
    spec: Spec, steps_per_epoch: int, epochs: int
) -> float | keras.optimizers.schedules.LearningRateSchedule:
    """The learning rate at time t in epochs, fractions included.

    `time`: lr / (1 + decay·t). `exponential`: lr · exp(−decay·t). `cosine`: rises from 0 for `warmup` epochs, then
    falls to 0 at the last epoch (Loshchilov and Hutter, 2017, arXiv 1608.03983). `coslog4`: `CosLog4`.
    """
    match spec.schedule:
        case "time":
            return keras.optimizers.schedules.InverseTimeDecay(spec.learning_rate, steps_per_epoch, spec.decay)
        case "exponential":
            assert spec.decay is not None
            return keras.optimizers.schedules.ExponentialDecay(
                spec.learning_rate, steps_per_epoch, math.exp(-spec.decay)
            )
        case "cosine":
            warmup = round(min(spec.warmup, epochs) * steps_per_epoch)
            steps = max(1, epochs * steps_per_epoch - warmup)
            if not warmup:
                return keras.optimizers.schedules.CosineDecay(spec.learning_rate, steps)
            return keras.optimizers.schedules.CosineDecay(
                0.0, steps, warmup_target=spec.learning_rate, warmup_steps=warmup
            )
        case "coslog4":
            return CosLog4(spec.learning_rate, max(1, epochs * steps_per_epoch))
        case _:
            return spec.learning_rate


class CosLog4(keras.optimizers.schedules.LearningRateSchedule):
    """lr · (1 - cos(2π log₂(1 + 15 t))) / 2 for t from 0 at the first step to 1 at the last: four cycles, each twice as
    long as the one before (RealMLP: Holzmüller et al., 2024, arXiv 2407.04491, section 3).
    """

    def __init__(self, learning_rate: float, steps: int) -> None:
        self.learning_rate, self.steps = learning_rate, steps

    def __call__(self, step):  # type: ignore[no-untyped-def]
        share = ops.minimum(ops.cast(step, "float32") / self.steps, 1.0)
        return self.learning_rate * (1 - ops.cos(2 * math.pi * ops.log2(1 + 15 * share))) / 2

    def get_config(self) -> dict:
        return {"learning_rate": self.learning_rate, "steps": self.steps}


def callbacks(spec: Spec, monitor: str, mode: str) -> list[keras.callbacks.Callback]:
    """The callbacks of a spec: one that evaluates and keeps averaged weights, one that lowers the learning rate."""
    needed: list[keras.callbacks.Callback] = []
    if spec.ema:
        needed.append(SwapAverages(swap_on_epoch=True))
    if spec.schedule == "plateau":
        needed.append(
            keras.callbacks.ReduceLROnPlateau(monitor, spec.decay, patience=spec.plateau_patience or 1, mode=mode)
        )
    return needed


class SwapAverages(keras.callbacks.SwapEMAWeights):
    """Keras' callback, which swaps four times an epoch, with one call for all weights.

    A swap of one variable after the other took longer than the training steps of a small table.
    """

    def _tf_swap_variables(self, optimizer: keras.optimizers.Optimizer) -> None:
        if not hasattr(self, "_swap"):
            pairs = zip(optimizer._trainable_variables, optimizer._model_variables_moving_average, strict=True)
            self._swap = _swap_of([(weight.value, average.value) for weight, average in pairs])
        self._swap()


def _swap_of(pairs: list[tuple[tf.Variable, tf.Variable]]) -> Callable[[], None]:
    @tf.function(autograph=False)
    def swap() -> None:
        for weight, average in pairs:
            before = weight.read_value()
            weight.assign(average)
            average.assign(before)

    return swap
