"""The tables that stages pass on: names of columns, images in a column, and files."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from contracts.files import write_atomically
from contracts.schema import TextForm
from contracts.settings.source import Task

DATE_FORMAT = b"date_format"
INTEGER_CLASSES = b"integer_classes"
TEXT_FORM = b"text_form"
IMAGE = "image"
TARGET = "__target__"
IS_TEST = "__is_test__"  # marks the rows that a source declares as test
FEWEST = 3  # fewest rows of a class: one for each of train, validation and test
BATCH = 131_072  # rows of a row group of a table that is streamed
MOST_PENDING = 2**28  # bytes of the rows of a row group; of long texts it has fewer rows


def images_to_column(images: np.ndarray) -> pa.Array:
    """uint8 images of shape (n_rows, height, width) as one column of fixed-size lists."""
    size = images.shape[1] * images.shape[2]
    return pa.FixedSizeListArray.from_arrays(pa.array(images.reshape(-1)), size)


def column_to_images(column: pa.ChunkedArray, height: int, width: int) -> np.ndarray:
    """The reverse of `images_to_column`."""
    return np.asarray(column.combine_chunks().flatten()).reshape(-1, height, width)


def is_numeric(kind: pa.DataType) -> bool:
    """Whether a column holds numbers or timestamps."""
    return pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_temporal(kind)


def as_numbers(column: pa.ChunkedArray) -> np.ndarray:
    """Numbers, or timestamps in seconds: float64 of shape (n_rows,), NaN where one is missing."""
    if pa.types.is_temporal(column.type):
        column = column.cast(pa.timestamp("s"), safe=False).cast(pa.int64())
    return column.cast(pa.float64(), safe=False).to_numpy()


def write_rows(path: Path, table: pa.Table) -> None:
    """Write a table as a whole or not at all."""
    with write_atomically(path) as unfinished:
        pq.write_table(table, unfinished, compression="zstd")


@contextmanager
def row_groups(path: Path, schema: pa.Schema) -> Iterator[Callable[[pa.Table], None]]:
    """Yield a function that adds rows to a new file in row groups of `BATCH` rows; the caller renames the file at the
    end.
    """
    pending: list[pa.Table] = []
    texts = [field.name for field in schema if pa.types.is_string(field.type)]  # numbers seldom repeat
    with pq.ParquetWriter(path, schema, compression="zstd", use_dictionary=texts or False) as writer:

        def add(table: pa.Table) -> None:
            pending.append(table)
            while rows := sum(len(part) for part in pending):
                if rows < BATCH and len(table) and sum(part.nbytes for part in pending) < MOST_PENDING:
                    break
                together = pa.concat_tables(pending)
                writer.write_table(together.slice(0, BATCH).combine_chunks(), row_group_size=BATCH)
                pending[:] = [together.slice(BATCH)]

        yield add
        add(schema.empty_table())  # the remaining rows


def infer_task(table: pa.Table) -> Task:
    """The task for the target of a table: text has classes, one or several numbers are a regression, labels are
    multilabel.
    """
    target = table[TARGET]
    if pa.types.is_struct(target.type):
        return "multilabel" if pa.types.is_boolean(target.type.field(0).type) else "regression"
    if pa.types.is_string(target.type):
        return "binary" if len(target.unique()) == 2 else "multiclass"
    return "regression"


def note_text_form(table: pa.Table, form: TextForm) -> pa.Table:
    """The table with metadata about the form of its text files."""
    return table.replace_schema_metadata({**(table.schema.metadata or {}), TEXT_FORM: form.model_dump_json()})


def text_form(schema: pa.Schema) -> TextForm | None:
    noted = (schema.metadata or {}).get(TEXT_FORM)
    return None if noted is None else TextForm.model_validate_json(noted)


def note_date_format(field: pa.Field, form: str) -> pa.Field:
    """The field of a date column, with the format of the dates in its source."""
    return field.with_metadata({DATE_FORMAT: form.encode()})


def note_integer_classes(field: pa.Field) -> pa.Field:
    """The field of a target whose classes, kept as text, are whole numbers in the data."""
    return field.with_metadata({INTEGER_CLASSES: b""})


def has_integer_classes(table: pa.Table) -> bool:
    return INTEGER_CLASSES in (table.schema.field(TARGET).metadata or {})


def date_format(schema: pa.Schema, name: str) -> str:
    """The format in which a column's source writes dates; ISO 8601 without a note."""
    return ((schema.field(name).metadata or {}).get(DATE_FORMAT) or b"%Y-%m-%d").decode()
