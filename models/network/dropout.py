"""Dropout whose random numbers cost less than the layers around it.

XLA computes Keras' own `Dropout` on a CPU at about 24 ns a value, which was two thirds of the time of an epoch
(docs/decisions/0004-compiled-epoch.md).
"""

import keras
from keras import ops

from models.network.layers import serializable

GOLDEN = 0x9E3779B9  # 2³² divided by the golden ratio, which moves neighbouring positions far apart


@serializable
class Dropout(keras.layers.Dropout):
    """Keras' dropout (Srivastava et al., 2014) with a hash of seed, step and position in place of random numbers; the
    shape stays.
    """

    def call(self, values, training: bool = False):  # type: ignore[no-untyped-def]
        if not training or not self.rate:
            return values
        kept = random_bits(self.seed_generator.next(), ops.shape(values)) >= as_uint32(int(self.rate * 2**32))
        return ops.where(kept, values / (1 - self.rate), ops.zeros_like(values))


def random_bits(seed, shape):  # type: ignore[no-untyped-def]
    """Uniform uint32 of a shape, from a seed of two integers; the second one may be a counter."""
    first, second = as_uint32(seed[0]), as_uint32(seed[1])
    positions = as_uint32(ops.arange(ops.prod(shape)))
    return ops.reshape(mixed(positions * as_uint32(GOLDEN) + mixed(mixed(first) + second)), shape)


def mixed(bits):  # type: ignore[no-untyped-def]
    """MurmurHash3's finalizer for 32 bits (Appleby, 2011): each bit of the input changes half of the output's."""
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        bits = (bits ^ ops.right_shift(bits, as_uint32(shift))) * as_uint32(factor)
    return bits ^ ops.right_shift(bits, as_uint32(16))


def as_uint32(values):  # type: ignore[no-untyped-def]
    return ops.cast(values, "uint32") if hasattr(values, "dtype") else ops.convert_to_tensor(values, "uint32")
