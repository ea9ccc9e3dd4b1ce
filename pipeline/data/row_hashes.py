"""Hashes of rows that stay the same from run to run, machine to machine and version to version."""

import hashlib
from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.tables import as_numbers, is_numeric


def hash_rows(table: pa.Table, names: Iterable[str], seed: int = 0) -> np.ndarray:
    """Two hashes of these columns of each row, uint64 of shape (n_rows, 2).

    Neither the order of the columns nor the form of a number matters: 1 is 1.0.
    """
    columns = sorted(names)
    words = np.empty((len(table), len(columns)), "<u8")
    for position, name in enumerate(columns):
        words[:, position] = _words(table[name])
    content, width = words.tobytes(), 8 * len(columns)
    rows = (content[start : start + width] for start in range(0, len(content), width))
    return np.frombuffer(_digests(rows, digest_size=16, salt=seed.to_bytes(8, "little")), "<u8").reshape(-1, 2)


def _words(column: pa.ChunkedArray) -> np.ndarray:
    """Each value as 64 bits: a number itself, or the hash of any other value."""
    if is_numeric(column.type):
        numbers = as_numbers(column) + 0.0  # -0.0 is 0.0
        return np.where(np.isnan(numbers), np.nan, numbers).view(np.uint64)
    whole = column.combine_chunks()
    if pa.types.is_fixed_size_list(column.type):  # an image
        pixels = np.asarray(whole.flatten()).reshape(len(column), -1)
        digests = (hashlib.blake2b(row.tobytes(), digest_size=8).digest() for row in pixels)
        # Most arrays are rounded to floats, as in earlier versions, so that their pictures stay in the same parts.
        return np.array([int.from_bytes(digest, "little") for digest in digests])
    encoded = whole if pa.types.is_dictionary(whole.type) else whole.dictionary_encode()
    values = encoded.dictionary
    if pa.types.is_string(values.type):
        texts = values.cast(pa.binary()).to_pylist()
    else:
        texts = [str(value).encode() for value in values.to_pylist()]
    words = np.frombuffer(_digests(texts, digest_size=8) + bytes(8), "<u8")
    return words[encoded.indices.fill_null(len(texts)).to_numpy()]


def _digests(contents: Iterable[bytes], **form: Any) -> bytes:
    empty, digests = hashlib.blake2b(**form), []
    for content in contents:  # copying a hash takes half the time of making a new one
        hashed = empty.copy()
        hashed.update(content)
        digests.append(hashed.digest())
    return b"".join(digests)
