"""Train, validation and test as arrays, from their files, in batches of rows."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from contracts.arrow import repeated
from contracts.encoding import encode, encode_target
from contracts.schema import CategoricalFeature, ClassTarget, DateFeature, NumericTarget, Schema
from pipeline.tables import IMAGE, TARGET, column_to_images

BATCH_ROWS = 65_536  # rows of a table in memory at once


def read_part(path: Path, schema: Schema, most: int | None = None, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """The encoded features of a part, (n_rows, input_width), and its target, (n_rows,), or (n_rows, n_outputs) for
    labels and several numbers.

    Args:
        most: rows; a larger part is sampled, as the seed decides.
    """
    features: np.ndarray | None = None
    targets, first = [], 0
    for table in iter_rows(path, most, seed, encoded_columns(schema)):
        encoded, target = encode_rows(table, schema)
        if features is None:
            features = np.empty((count_rows(path, most), encoded.shape[1]), np.float32)
        features[first : first + len(encoded)] = encoded
        targets.append(target)
        first += len(encoded)
    assert features is not None
    return features, np.concatenate(targets)


def count_rows(path: Path, most: int | None = None) -> int:
    """The rows of a part, or of its sample."""
    n_rows = pq.read_metadata(path).num_rows
    return n_rows if most is None else min(n_rows, most)


def iter_rows(
    path: Path, most: int | None = None, seed: int = 0, columns: list[str] | None = None
) -> Iterator[pa.Table]:
    """The rows of a part in order, in tables of at most `BATCH_ROWS`, or those of its sample; at least one table."""
    with pq.ParquetFile(path, pre_buffer=False) as file:
        n_rows = file.metadata.num_rows
        chosen = sample_of(n_rows, most, seed)
        if not n_rows:
            yield file.read(columns=columns)
        first = 0
        for batch in file.iter_batches(BATCH_ROWS, columns=columns):
            table = pa.Table.from_batches([batch])
            if chosen is not None:
                begin, end = np.searchsorted(chosen, [first, first + len(table)])
                table, first = table.take(chosen[begin:end] - first), first + len(table)
            yield table


def sample_of(n_rows: int, most: int | None, seed: int) -> np.ndarray | None:
    """The numbers of the sampled rows, rising; None if all rows are taken."""
    if most is None or most >= n_rows:
        return None
    return np.sort(np.random.default_rng(seed).choice(n_rows, most, replace=False))


def read_rows(path: Path, most: int | None = None, seed: int = 0) -> pa.Table:
    """A part as a table, or its sample."""
    return pa.concat_tables(iter_rows(path, most, seed))


def encoded_columns(schema: Schema) -> list[str]:
    """The columns that `encode_rows` and `row_weights` read."""
    return [*(feature.name for feature in schema.features), TARGET, *([schema.weight] if schema.weight else [])]


def encode_rows(table: pa.Table, schema: Schema) -> tuple[np.ndarray, np.ndarray]:
    """Features and target of rows in memory, as `read_part` returns them."""
    target = _target(schema, table[TARGET])
    if schema.image is not None:
        image = schema.image
        return encode(schema, {IMAGE: column_to_images(table[IMAGE], image.height, image.width)}), target
    return encode(schema, {feature.name: _values(feature, table[feature.name]) for feature in schema.features}), target


def row_weights(table: pa.Table, schema: Schema) -> np.ndarray | None:
    """The weight of each row, float32 of shape (n_rows,); None if the data has no weights."""
    return None if schema.weight is None else table[schema.weight].to_numpy().astype(np.float32)


def _values(feature: Any, column: pa.ChunkedArray) -> Any:
    """The values of a column as `encode` takes them. A number goes through float64, as in a request."""
    if pa.types.is_timestamp(column.type) and column.type.tz is None:
        return column.to_numpy()
    if isinstance(feature, CategoricalFeature | DateFeature):
        return repeated(column)
    return _numbers(column)


def _target(schema: Schema, column: pa.ChunkedArray) -> np.ndarray:
    if isinstance(schema.target, NumericTarget):
        return encode_target(schema, _numbers(column))
    if isinstance(schema.target, ClassTarget):
        values, positions = repeated(column)
        return encode_target(schema, values)[positions]
    parts = column.combine_chunks()
    return np.stack([_numbers(parts.field(name)) for name in schema.outputs], axis=1).astype(np.float32)


def _numbers(column: pa.Array | pa.ChunkedArray) -> np.ndarray:
    return column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
