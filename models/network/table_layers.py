"""Layers of networks for tables, from RealMLP (Holzmüller et al., 2024, arXiv 2407.04491) and TabM (Gorishniy et al.,
2025, arXiv 2410.24210).

A layer with its own learning rate learns v, and its weight is start + factor · v. With Adam, whose step does not depend
on the size of a gradient, the weight then learns `factor` times as fast.
"""

from statistics import NormalDist

import keras
import numpy as np
from keras import ops

from contracts.schema import NumericFeature
from models.network import layers
from models.network.layers import serializable


def robust_constants(features: list[NumericFeature]) -> tuple[list[float], list[float]]:
    """Median and scale of each feature: 1 / (q75 - q25); where that is 0, 2 / (max - min); for a constant, 0."""
    scales = []
    for feature in features:
        assert feature.quartiles is not None
        between, range_ = feature.quartiles[1] - feature.quartiles[0], feature.maximum - feature.minimum
        scales.append(1 / between if between else 2 / range_ if range_ else 0.0)
    return [feature.median for feature in features], scales


@serializable
class RobustScale(keras.layers.Layer):
    """Robust scaling with smooth clipping (RealMLP, section 3): z = scale · (x - median), then z / √(1 + (z / 3)²),
    which lies between -3 and 3; the shape stays.
    """

    def __init__(self, medians: list[float], scales: list[float], **kwargs) -> None:  # type: ignore[no-untyped-def]
        super().__init__(**kwargs)
        self.medians, self.scales = medians, scales

    def call(self, numbers):  # type: ignore[no-untyped-def]
        # Further out the result is 3 in float32, and a square would overflow.
        z = ops.clip((numbers - np.array(self.medians, "float32")) * np.array(self.scales, "float32"), -1e9, 1e9)
        return z / ops.sqrt(1 + ops.square(z / 3))


@serializable
class InputScale(keras.layers.Layer):
    """A learned factor for each input, 1 at first (RealMLP, section 3: a diagonal weight matrix, whose learning rate
    has a factor of 6); the shape (n_rows, n_inputs) stays.
    """

    FACTOR = 6.0

    def build(self, input_shape: tuple) -> None:
        self.change = self.add_weight(shape=(input_shape[-1],), initializer="zeros", name="change")

    def call(self, rows):  # type: ignore[no-untyped-def]
        return rows * (1 + self.FACTOR * self.change)


@serializable
class Parametric(keras.layers.Layer):
    """A parametric activation (RealMLP, section 3): x + a · (σ(x) - x) with a learned a for each unit, 1 at first,
    whose learning rate has a factor of 0.1; the shape stays.
    """

    FACTOR = 0.1

    def __init__(self, activation: str, **kwargs) -> None:  # type: ignore[no-untyped-def]
        super().__init__(**kwargs)
        self.activation = activation

    def build(self, input_shape: tuple) -> None:
        self.change = self.add_weight(shape=(input_shape[-1],), initializer="zeros", name="change")

    def call(self, values):  # type: ignore[no-untyped-def]
        activated = (layers.gelu if self.activation == "gelu" else keras.activations.get(self.activation))(values)
        return values + (1 + self.FACTOR * self.change) * (activated - values)


@serializable
class PeriodicDense(keras.layers.Layer):
    """PBLD embeddings (RealMLP, section 3 and appendix A; after Gorishniy et al., 2022): (x, W₂ cos(2π w₁ x + b₁) + b₂)
    for each feature: (n_rows, n_features) → (n_rows, n_features, units).

    Args:
        scale: standard deviation of the initial frequencies w₁; b₁ is uniform between -π and π.
        units: of the result, x included.
    """

    def __init__(self, frequencies: int, scale: float, units: int, **kwargs) -> None:  # type: ignore[no-untyped-def]
        super().__init__(**kwargs)
        self.frequencies, self.scale, self.units = frequencies, scale, units

    def build(self, input_shape: tuple) -> None:
        n, learned, limit = input_shape[1], self.units - 1, self.frequencies**-0.5
        uniform, shape = keras.initializers.RandomUniform, (n, self.frequencies)
        normal = keras.initializers.RandomNormal(0.0, self.scale)
        self.frequency = self.add_weight(shape=shape, initializer=normal, name="frequency")
        self.phase = self.add_weight(shape=shape, initializer=uniform(-np.pi, np.pi), name="phase")
        self.kernel = self.add_weight(shape=(*shape, learned), initializer=uniform(-limit, limit), name="kernel")
        self.bias = self.add_weight(shape=(n, learned), initializer=uniform(-limit, limit), name="bias")

    def call(self, numbers):  # type: ignore[no-untyped-def]
        x = ops.expand_dims(numbers, 2)
        waves = ops.cos(2 * np.float32(np.pi) * x * self.frequency + self.phase)
        return ops.concatenate([x, ops.einsum("nfb,fbd->nfd", waves, self.kernel) + self.bias], axis=2)


@serializable
class PiecewiseSum(keras.layers.Layer):
    """The piecewise-linear embeddings of TabM† (version B of Gorishniy et al., 2025, appendix): v x + c + W PLE(x) for
    each feature, where W is 0 at first, so that a training begins with a linear network.

    Its input is the pair of standardised numbers (n_rows, n_features) and their encoding
    (n_rows, n_features, intervals); its output has the shape (n_rows, n_features, units).
    """

    def __init__(self, units: int, **kwargs) -> None:  # type: ignore[no-untyped-def]
        super().__init__(**kwargs)
        self.units = units

    def build(self, input_shape: list[tuple]) -> None:
        _, n, intervals = input_shape[1]
        limit = keras.initializers.RandomUniform(-1.0, 1.0)
        self.slope = self.add_weight(shape=(n, self.units), initializer=limit, name="slope")
        self.bias = self.add_weight(shape=(n, self.units), initializer=limit, name="bias")
        self.kernel = self.add_weight(shape=(n, intervals, self.units), initializer="zeros", name="kernel")

    def call(self, parts):  # type: ignore[no-untyped-def]
        numbers, encoded = parts
        linear = ops.expand_dims(numbers, 2) * self.slope + self.bias
        return linear + ops.einsum("nfb,fbd->nfd", encoded, self.kernel)


@serializable
class ClipOutput(keras.layers.Layer):
    """Clip predictions to the range of the train targets, in inference only (RealMLP, section 3): a clipped value has
    no gradient. The shape stays.
    """

    def __init__(self, minima: list[float], maxima: list[float], **kwargs) -> None:  # type: ignore[no-untyped-def]
        super().__init__(**kwargs)
        self.minima, self.maxima = minima, maxima

    def call(self, values, training: bool | None = None):  # type: ignore[no-untyped-def]
        if training:
            return values
        return ops.clip(values, np.array(self.minima, "float32"), np.array(self.maxima, "float32"))


@serializable
class Quantiles(keras.layers.Layer):
    """Quantiles that cannot cross: the median, and outwards from it a softplus for each gap between two neighbours; the
    shape stays. The gaps have the scale of a standard normal distribution: an input of zeros gives its quantiles.

    Args:
        levels: rising, 0.5 among them.
    """

    def __init__(self, levels: list[float], **kwargs) -> None:  # type: ignore[no-untyped-def]
        super().__init__(**kwargs)
        self.levels, self.median = levels, levels.index(0.5)
        normal = np.array([NormalDist().inv_cdf(level) for level in levels])
        steps = np.zeros((len(levels), len(levels)), "float32")  # the weight of a column's softplus in each quantile
        for i, gap in enumerate(np.diff(normal, prepend=normal[0])):
            if i <= self.median:
                steps[i - 1, :i] = -gap / np.log(2)
            else:
                steps[i, i:] = gap / np.log(2)
        self.steps = steps

    def call(self, raw):  # type: ignore[no-untyped-def]
        return raw[..., self.median : self.median + 1] + ops.matmul(ops.softplus(raw), self.steps)

    def get_config(self) -> dict:
        return {**super().get_config(), "levels": self.levels}
