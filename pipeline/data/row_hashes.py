"""Hashes of rows that stay the same from run to run, machine to machine and version to version."""

import hashlib
from collections.abc import Iterable
from functools import lru_cache

import numpy as np
import pyarrow as pa

KEPT = 0.8  # share of the rows with a text that no other row of theirs has, up to which the hashes of texts are kept


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
        pixels = np.asarray(whole.flatten()).reshape(len(column), -1)
        digests = (hashlib.blake2b(row.tobytes(), digest_size=8).digest() for row in pixels)
        # In most arrays rounded to floats: the pictures of earlier versions were divided so, and stay where they are.
        return np.array([int.from_bytes(digest, "little") for digest in digests])
    encoded = whole.dictionary_encode()
    texts = [str(value) for value in encoded.dictionary.to_pylist()]
    if len(texts) < KEPT * len(column):  # texts that repeat do so in the next batch of rows, too
        words = [_word(text) for text in texts]
    else:
        words = [hashlib.blake2b(text.encode(), digest_size=8).digest() for text in texts]
    return np.frombuffer(b"".join([*words, bytes(8)]), "<u8")[encoded.indices.fill_null(len(texts)).to_numpy()]


@lru_cache(maxsize=2**18)
def _word(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=8).digest()
