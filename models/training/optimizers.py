"""Optimizers and learning rate schedules of a spec."""

import math

import keras

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
            return keras.optimizers.Adam(rate, **ema)
        case "adamw":
            return keras.optimizers.AdamW(rate, weight_decay=spec.weight_decay, **ema)
        case "nadam":
            return keras.optimizers.Nadam(rate, **ema)
        case "rmsprop":
            return keras.optimizers.RMSprop(rate, **ema)
        case "sgd":
            return keras.optimizers.SGD(rate, momentum=spec.momentum, nesterov=spec.nesterov, **ema)


def learning_rate(
    spec: Spec, steps_per_epoch: int, epochs: int
) -> float | keras.optimizers.schedules.LearningRateSchedule:
    """The learning rate at time t in epochs, fractions included.

    `time`: lr / (1 + decay·t). `exponential`: lr · exp(−decay·t). `cosine`: rises from 0 for `warmup` epochs, then
    falls to 0 at the last epoch (Loshchilov and Hutter, 2017, arXiv 1608.03983).
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
        case _:
            return spec.learning_rate


def callbacks(spec: Spec, monitor: str, mode: str) -> list[keras.callbacks.Callback]:
    """The callbacks of a spec: one that evaluates and keeps averaged weights, one that lowers the learning rate."""
    needed: list[keras.callbacks.Callback] = []
    if spec.ema:
        needed.append(keras.callbacks.SwapEMAWeights(swap_on_epoch=True))
    if spec.schedule == "plateau":
        needed.append(
            keras.callbacks.ReduceLROnPlateau(monitor, spec.decay, patience=spec.plateau_patience or 1, mode=mode)
        )
    return needed
