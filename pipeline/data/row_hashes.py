"""Hashes of rows that stay the same from run to run, machine to machine and version to version."""

import hashlib
from collections.abc import Iterable
from functools import lru_cache

import numpy as np
import pyarrow as pa


def hash_rows(table: pa.Table, names: Iterable[str], seed: int = 0) -> np.ndarray:
    """Two hashes of these columns of each row, uint64 of shape (n_rows, 2).

    The order of the columns does not count, nor how a number is written: 1 is 1.0.
    """
    words = np.stack([_words(table[name]) for name in sorted(names)], axis=1).astype("<u8")
    salt = seed.to_bytes(8, "little")
    content, width = words.tobytes(), 8 * words.shape[1]
    salted, digests = hashlib.blake2b(digest_size=16, salt=salt), []
    for start in range(0, len(content), width):  # a copy takes half of the time of a new hash with a salt
        row = salted.copy()
        row.update(content[start : start + width])
        digests.append(row.digest())
    return np.frombuffer(b"".join(digests), "<u8").reshape(-1, 2)


def is_numeric(kind: pa.DataType) -> bool:
    """Whether a column holds numbers or moments."""
    return pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_temporal(kind)


def as_numbers(column: pa.ChunkedArray) -> np.ndarray:
    """Numbers, or moments in seconds: float64 of shape (n_rows,), NaN where one is missing."""
    if pa.types.is_temporal(column.type):
        column = column.cast(pa.timestamp("s"), safe=False).cast(pa.int64())
    return column.cast(pa.float64(), safe=False).to_numpy()


def _words(column: pa.ChunkedArray) -> np.ndarray:
    """Each value as 64 bits: a number itself, of anything else a hash."""
    if is_numeric(column.type):
        numbers = as_numbers(column) + 0.0  # -0.0 is 0.0
        return np.where(np.isnan(numbers), np.nan, numbers).view(np.uint64)
    whole = column.combine_chunks()
    if pa.types.is_fixed_size_list(column.type):  # an image
        return np.array([_word(row.tobytes()) for row in np.asarray(whole.flatten()).reshape(len(column), -1)])
    encoded = whole.dictionary_encode()
    words = np.array([*(_word_of(str(value)) for value in encoded.dictionary.to_pylist()), 0], np.uint64)
    return words[encoded.indices.fill_null(len(words) - 1).to_numpy()]


@lru_cache(maxsize=2**18)
def _word_of(text: str) -> int:
    return _word(text.encode())


def _word(content: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "little")
