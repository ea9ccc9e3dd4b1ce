"""The tables that stages pass on: the names of their columns, images in a column, and how they are written."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from contracts.settings.sections import Task

IMAGE = "image"
TARGET = "__target__"
IS_TEST = "__is_test__"  # marks the rows that a source declares as test


def images_to_column(images: np.ndarray) -> pa.Array:
    """uint8 images of shape (n_rows, height, width) as one column of fixed-size lists."""
    size = images.shape[1] * images.shape[2]
    return pa.FixedSizeListArray.from_arrays(pa.array(images.reshape(-1)), size)


def column_to_images(column: pa.ChunkedArray, height: int, width: int) -> np.ndarray:
    """The reverse of `images_to_column`."""
    return np.asarray(column.combine_chunks().flatten()).reshape(-1, height, width)


def write_rows(path: Path, table: pa.Table) -> None:
    pq.write_table(table, path, compression="zstd")


def infer_task(table: pa.Table) -> Task:
    """What the target of a table asks for: text has classes, a number is a regression."""
    target = table[TARGET]
    if pa.types.is_string(target.type):
        return "binary" if len(target.unique()) == 2 else "multiclass"
    return "regression"
