"""Parquet files as batches of one schema."""

from collections.abc import Iterator, Set
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from contracts.errors import UserError
from pipeline.sources.conversion.types import common_type, plain, plain_schema, with_text_for_null
from pipeline.tables import BATCH


def is_parquet(path: str | Path) -> bool:
    """Whether a file is Parquet, by its name."""
    return Path(path).suffix.lower() in (".parquet", ".pq")


def common_schema(paths: list[str], dropped: Set[str]) -> pa.Schema:
    """The columns of all files, in the order of the first, with types that hold the values of all.

    Args:
        dropped: columns that are left out, and may hold anything.

    Raises:
        UserError: if a file is damaged or empty, has other columns, or a type of another kind.
    """
    schemas = [plain_schema(Path(path).name, _open(path).schema_arrow.remove_metadata(), dropped) for path in paths]
    common = schemas[0]
    for path, schema in zip(paths, schemas, strict=True):
        if not _open(path).metadata.num_rows:
            raise UserError(f"{path} has no rows")
        if different := set(schema.names) ^ set(common.names):
            raise UserError(f"{path}: expected the columns of {paths[0]}, different are {', '.join(sorted(different))}")
        for position, field in enumerate(common):
            other = schema.field(field.name)
            try:
                both = common_type(field.type, other.type)
            except pa.ArrowException:
                raise UserError(
                    f"{path}: expected {field.type} in {field.name!r} as in {paths[0]}, received {other.type}"
                ) from None
            common = common.set(position, field.with_type(both))
    return with_text_for_null(common)


def parquet_batches(path: str, schema: pa.Schema) -> Iterator[pa.Table]:
    """The rows of a file in batches, with the columns and types of a schema, which may have fewer than the file.

    Raises:
        UserError: for a damaged file, and for numbers that would change in the type of the schema.
    """
    try:
        for batch in _open(path).iter_batches(BATCH, columns=schema.names):
            batch.validate(full=True)
            yield plain(pa.Table.from_batches([batch])).select(schema.names).cast(schema)
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(path, error) from None


def _open(path: str) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path, pre_buffer=False)  # which keeps every row group in memory until the file is closed
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(path, error) from None


def _unreadable(path: str, error: Exception) -> UserError:
    return UserError(f"{path} cannot be read: {(str(error).splitlines() or ['damaged'])[0]}")
