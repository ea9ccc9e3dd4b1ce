"""Layers that Keras lacks, or whose Keras version cannot be exported to ONNX.

Their constants come from the schema, where they are fitted on the train split. None needs a `get_config`: Keras itself
saves arguments that are numbers or lists of numbers.
"""

from statistics import NormalDist

import keras
import numpy as np
import tensorflow as tf
from keras import ops

serializable = keras.saving.register_keras_serializable(package="mlp")


@serializable
def gelu(x):  # type: ignore[no-untyped-def]
    """The tanh approximation of GELU (Hendrycks and Gimpel, 2016): the exact one needs erf, which ONNX export lacks."""
    return keras.activations.gelu(x, approximate=True)


@serializable
class Columns(keras.layers.Layer):
    """Select columns: (n_rows, n_columns) → (n_rows, len(columns))."""

    def __init__(self, columns: list[int], **kwargs) -> None:  # type: ignore[no-untyped-def]
        super().__init__(**kwargs)
        self.columns = columns

    def call(self, rows):  # type: ignore[no-untyped-def]
        return tf.gather(rows, self.columns, axis=1)


@serializable
class Impute(keras.layers.Layer):
    """Replace each NaN by the constant of its column; the shape stays."""

    def __init__(self, constants: list[float], **kwargs) -> None:  # type: ignore[no-untyped-def]
        super().__init__(**kwargs)
        self.constants = constants

    def call(self, numbers):  # type: ignore[no-untyped-def]
        return ops.where(ops.isnan(numbers), np.array(self.constants, "float32"), numbers)


@serializable
class Standardise(keras.layers.Layer):
    """(x - mean) / std of each column; the shape stays.

    Keras' Rescaling multiplies first, which loses digits where the mean is many times the standard deviation.
    """

    def __init__(self, means: list[float], stds: list[float], **kwargs) -> None:  # type: ignore[no-untyped-def]
        super().__init__(**kwargs)
        self.means, self.stds = means, stds

    def call(self, numbers):  # type: ignore[no-untyped-def]
        return (numbers - np.array(self.means, "float32")) / np.array(self.stds, "float32")


@serializable
class IsMissing(keras.layers.Layer):
    """1 where a number is NaN, else 0; the shape stays."""

    def call(self, numbers):  # type: ignore[no-untyped-def]
        return ops.cast(ops.isnan(numbers), "float32")


@serializable
class Exponential(keras.layers.Layer):
    """exp(std · x + mean) - offset of each column: from a standardised logarithm to its number; the shape stays.

    The logarithm is clipped to ten standard deviations in either direction, so that every prediction is finite.
    """

    def __init__(self, means: list[float], stds: list[float], offsets: list[float], **kwargs) -> None:  # type: ignore[no-untyped-def]
        super().__init__(**kwargs)
        self.means, self.stds, self.offsets = means, stds, offsets

    def call(self, values):  # type: ignore[no-untyped-def]
        # The mean is a factor: a sum with it in the exponent would lose digits.
        grown = ops.exp(np.array(self.stds, "float32") * ops.clip(values, -10.0, 10.0))
        return np.exp(self.means).astype("float32") * grown - np.array(self.offsets, "float32")

    def get_config(self) -> dict:
        return {**super().get_config(), "means": self.means, "stds": self.stds, "offsets": self.offsets}


@serializable
class OneHot(keras.layers.Layer):
    """Codes as one-hot vectors: (n_rows, 1) → (n_rows, n_codes)."""

    def __init__(self, n_codes: int, **kwargs) -> None:  # type: ignore[no-untyped-def]
        super().__init__(**kwargs)
        self.n_codes = n_codes

    def call(self, codes):  # type: ignore[no-untyped-def]
        return ops.one_hot(ops.cast(codes[:, 0], "int32"), self.n_codes, dtype="float32")


@serializable
class PiecewiseLinear(keras.layers.Layer):
    """Piecewise linear encoding (Gorishniy et al., 2022, arXiv 2203.05556): per interval 0 below it, 1 above it, linear
    between its edges.

    (n_rows, n_features) → (n_rows, n_features, n_intervals), padded with zeros for features with fewer intervals.

    Args:
        edges: per feature the rising edges of its intervals, at least two.
    """

    def __init__(self, edges: list[list[float]], **kwargs) -> None:  # type: ignore[no-untyped-def]
        super().__init__(**kwargs)
        self.edges = edges
        shape = (len(edges), max(len(rising) for rising in edges) - 1)
        self.low, self.scale = np.zeros(shape, "float32"), np.zeros(shape, "float32")
        for feature, rising in enumerate(edges):
            n = len(rising) - 1
            self.low[feature, :n] = rising[:-1]
            self.scale[feature, :n] = 1 / np.diff(rising)

    def call(self, numbers):  # type: ignore[no-untyped-def]
        return ops.clip((ops.expand_dims(numbers, 2) - self.low) * self.scale, 0, 1)


@serializable
class Quantile(PiecewiseLinear):
    """Map the quantiles of a feature to those of the standard normal distribution; the shape stays.

    Args:
        edges: per feature its distinct quantiles, evenly spaced in rank.
    """

    def __init__(self, edges: list[list[float]], **kwargs) -> None:  # type: ignore[no-untyped-def]
        super().__init__(edges, **kwargs)
        self.rises = np.zeros_like(self.low)
        self.floor = np.zeros(len(edges), "float32")
        for feature, rising in enumerate(edges):
            n = len(rising)
            scores = [NormalDist().inv_cdf((rank + 0.5) / n) for rank in range(n)]
            self.rises[feature, : n - 1] = np.diff(scores)
            self.floor[feature] = scores[0]

    def call(self, numbers):  # type: ignore[no-untyped-def]
        return ops.sum(super().call(numbers) * self.rises, axis=2) + self.floor


@serializable
class Periodic(keras.layers.Layer):
    """Sines and cosines with learned frequencies (Gorishniy et al., 2022, arXiv 2203.05556):
    (n_rows, n_features) → (n_rows, n_features, 2 · frequencies).

    Args:
        scale: standard deviation of the initial frequencies.
    """

    def __init__(self, frequencies: int, scale: float, **kwargs) -> None:  # type: ignore[no-untyped-def]
        super().__init__(**kwargs)
        self.frequencies, self.scale = frequencies, scale

    def build(self, input_shape: tuple) -> None:
        self.frequency = self.add_weight(
            shape=(input_shape[1], self.frequencies),
            initializer=keras.initializers.RandomNormal(0.0, self.scale),
            name="frequency",
        )

    def call(self, numbers):  # type: ignore[no-untyped-def]
        angle = 2 * np.float32(np.pi) * ops.expand_dims(numbers, 2) * self.frequency
        return ops.concatenate([ops.sin(angle), ops.cos(angle)], axis=2)


@serializable
class ShiftAndFlip(keras.layers.Layer):
    """In training, move images by up to `shift` pixels and mirror half of them; the shape (n_rows, n_pixels) stays.

    All images of a batch move by the same shift: a shift per image costs more time than the network.
    """

    def __init__(self, height: int, width: int, shift: int, flip: bool, **kwargs) -> None:  # type: ignore[no-untyped-def]
        super().__init__(**kwargs)
        self.height, self.width, self.shift, self.flip = height, width, shift, flip
        self.seeds = keras.random.SeedGenerator()

    def call(self, rows, training: bool | None = None):  # type: ignore[no-untyped-def]
        if not training:
            return rows
        images = ops.reshape(rows, (-1, self.height, self.width))
        if self.shift:
            by = keras.random.randint((2,), -self.shift, self.shift + 1, seed=self.seeds)
            for axis, size in ((1, self.height), (2, self.width)):
                old = ops.arange(size, dtype="int32") - by[axis - 1]
                moved = ops.take(images, ops.clip(old, 0, size - 1), axis=axis)
                inside = ops.cast(ops.logical_and(old >= 0, old < size), moved.dtype)
                images = moved * ops.reshape(inside, (1, -1, 1) if axis == 1 else (1, 1, -1))
        if self.flip:
            mirrored = keras.random.uniform((ops.shape(images)[0], 1, 1), seed=self.seeds) < 0.5
            images = ops.where(mirrored, ops.flip(images, axis=2), images)
        return ops.reshape(images, (-1, self.height * self.width))


@serializable
class MemberScale(keras.layers.Layer):
    """One copy of the rows for each member, times learned factors whose initial values are random signs (TabM-mini,
    Gorishniy et al., 2024, arXiv 2410.24210): (n_rows, n_inputs) → (n_rows, members, n_inputs).

    Args:
        per_row: how many members learn from a row of a batch, None for all: see `deal`.
    """

    def __init__(self, members: int, per_row: int | None = None, **kwargs) -> None:  # type: ignore[no-untyped-def]
        super().__init__(**kwargs)
        self.members, self.per_row = members, per_row

    def build(self, input_shape: tuple) -> None:
        self.factors = self.add_weight(shape=(self.members, input_shape[1]), initializer=random_signs, name="factors")

    def call(self, rows, training: bool | None = None):  # type: ignore[no-untyped-def]
        n_rows = rows.shape[0]
        if training and self.per_row and n_rows and n_rows % self.members == 0:  # else every member learns from all
            return deal(rows, self.members, self.per_row) * self.factors
        return ops.expand_dims(rows, 1) * self.factors


def deal(values, members: int, per_row: int):  # type: ignore[no-untyped-def]
    """Give each row of a batch to `per_row` members, as BatchEnsemble gives it to one (Wen et al., 2020, arXiv
    2002.06715): (n_rows, …) → (n_rows · per_row / members, members, …).

    A step then costs `per_row` times as much as that of one network, instead of `members` times.
    """
    copies = [ops.roll(values, copy * (members // per_row), axis=0) for copy in range(per_row)]
    return ops.reshape(ops.concatenate(copies), (-1, members, *values.shape[1:]))


def random_signs(shape: tuple, dtype: str | None = None):  # type: ignore[no-untyped-def]
    return ops.sign(keras.random.uniform(shape, -1, 1, dtype=dtype))
