"""Columns with types of their own, of Parquet, JSON lines and queries, as text, numbers and moments."""

import json
from collections import Counter
from collections.abc import Iterable, Set

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as kinds

from contracts.arrow import gaps_for, wall_clock
from contracts.errors import UserError

NESTED = (
    kinds.is_nested,
    kinds.is_binary,
    kinds.is_large_binary,
    kinds.is_fixed_size_binary,
    kinds.is_binary_view,
)
OTHERS = (kinds.is_time, kinds.is_duration, kinds.is_interval, lambda kind: isinstance(kind, pa.BaseExtensionType))
AS_TEXT = (kinds.is_boolean, kinds.is_dictionary, kinds.is_large_string, kinds.is_string_view)


def plain(table: pa.Table) -> pa.Table:
    """Columns with types of their own as text, numbers and moments; lists, structures and bytes become missing values.
    Columns without any value are left as they are.
    """
    return pa.table({field.name: _plain(table[field.name], field.type) for field in table.schema})


def common_type(first: pa.DataType, second: pa.DataType) -> pa.DataType:
    """The type that holds the values of both; raises `pa.ArrowException` if there is none."""
    fields = [pa.schema([("", kind)]) for kind in (first, second)]
    return pa.unify_schemas(fields, promote_options="permissive").field(0).type


def with_text_for_null(schema: pa.Schema) -> pa.Schema:
    """A schema whose columns without any value are text, once all parts of a table are known."""
    return pa.schema([field.with_type(pa.string()) if kinds.is_null(field.type) else field for field in schema])


def plain_schema(name: str, schema: pa.Schema, dropped: Set[str]) -> pa.Schema:
    """The columns that `plain` makes of those of a file; raises as `check_schema` does."""
    check_schema(name, schema, dropped)
    return plain(schema.empty_table()).schema


def without_markers(table: pa.Table, missing: tuple[str, ...] | None) -> pa.Table:
    """The table with a missing value in place of each marker that the settings name."""
    for position, field in enumerate(table.schema if missing else ()):
        table = table.set_column(position, field, gaps_for(table[position], missing or ()))
    return table


def nested_columns(schema: pa.Schema) -> list[str]:
    """The columns of lists, structures or bytes."""
    return [field.name for field in schema if _is_any(NESTED, field.type)]


def check_schema(name: str, schema: pa.Schema, dropped: Set[str]) -> None:
    """Refuse what `plain` makes nothing of, and a name that two columns have.

    Args:
        name: of the file, for messages.
        dropped: columns that are left out, and may hold anything.
    """
    if nested := [column for column in nested_columns(schema) if column not in dropped]:
        raise UserError(
            f"{name}: expected one value in each cell, received lists, structures or bytes in {', '.join(nested)}; "
            f"data.columns: {_drop(nested)} leaves them out"
        )
    if others := [field for field in schema if _is_any(OTHERS, field.type) and field.name not in dropped]:
        received = ", ".join(f"{field.type} in {field.name}" for field in others)
        raise UserError(
            f"{name}: expected text, numbers, true and false, or dates in every column, received {received}: write "
            f"them as text or numbers; data.columns: {_drop(field.name for field in others)} leaves them out"
        )
    if twice := [column for column, count in Counter(schema.names).items() if count > 1]:
        raise UserError(f"{name}: expected each name once, received more than once: {', '.join(twice)}")


def _drop(names: Iterable[str]) -> str:
    return f"{{{', '.join(f'{json.dumps(name)}: drop' for name in names)}}}"


def _is_any(tests: tuple, kind: pa.DataType) -> bool:
    return any(test(kind) for test in tests)


def _plain(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    """Truth values, dictionaries and other text as text; decimals as numbers, NaN as missing; dates as timestamps."""
    if _is_any(AS_TEXT, kind):
        return column.cast(pa.string())
    if _is_any((*NESTED, *OTHERS), kind):
        return pa.nulls(len(column), pa.string())
    if kinds.is_decimal(kind):
        return column.cast(pa.float64())
    if kinds.is_floating(kind):
        column = column.cast(pa.float32()) if kinds.is_float16(kind) else column  # many functions have no code for it
        return pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)
    return wall_clock(column) if kinds.is_temporal(kind) else column
