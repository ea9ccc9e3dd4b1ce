"""Train, validation and test as arrays, from their files."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from contracts.encoding import encode, encode_target
from contracts.schema import Schema
from pipeline.tables import IMAGE, TARGET, column_to_images


def read_part(path: Path, schema: Schema) -> tuple[np.ndarray, np.ndarray]:
    """The encoded features of a part, (n_rows, input_width), and its target, (n_rows,), or (n_rows, n_outputs) for
    labels and several numbers.
    """
    return encode_rows(pq.read_table(path), schema)


def encode_rows(table: pa.Table, schema: Schema) -> tuple[np.ndarray, np.ndarray]:
    """The same of rows in memory."""
    target = encode_target(schema, table[TARGET].to_pylist())
    if schema.image is not None:
        image = schema.image
        return encode(schema, {IMAGE: column_to_images(table[IMAGE], image.height, image.width)}), target
    return encode(schema, table.drop_columns([TARGET]).to_pandas()), target


def read_weights(path: Path, schema: Schema) -> np.ndarray | None:
    """The weight of each row of a part, float32 of shape (n_rows,); None where the data has no weights."""
    if schema.weight is None:
        return None
    return pq.read_table(path, columns=[schema.weight])[schema.weight].to_numpy().astype(np.float32)
