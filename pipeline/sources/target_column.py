"""The target of a table of one's own: text where it has classes, as it was written, else numbers."""

import pyarrow as pa
import pyarrow.compute as pc

from contracts.errors import UserError, nearest
from contracts.settings.source import Source
from pipeline.sources.values import Conversion, is_number
from pipeline.tables import TARGET

MOST_CLASSES = 20  # a target of whole numbers has classes where it has at most so many different ones


def restore_classes(table: pa.Table, texts: pa.Table, source: Source, found: Conversion) -> pa.Table:
    """The target as it was written, where it has classes: 01 stays 01."""
    if source.target not in table.column_names or not _has_classes(table[source.target], source):
        return table
    column = pc.utf8_trim_whitespace(texts[source.target])
    written = pc.if_else(
        pc.is_in(column, value_set=pa.array(found.missing, pa.string())), pa.scalar(None, pa.string()), column
    )
    return table.set_column(table.column_names.index(source.target), source.target, written)


def _has_classes(column: pa.ChunkedArray, source: Source) -> bool:
    if source.task is not None:
        return source.task in ("binary", "multiclass")
    if not is_number(column.type):
        return True
    return pa.types.is_integer(column.type) and len(column.drop_null().unique()) <= MOST_CLASSES


def with_target(table: pa.Table, source: Source) -> pa.Table:
    assert source.target is not None
    if source.target not in table.column_names:
        hint = nearest(source.target, table.column_names) or f"; there are {', '.join(table.column_names)}"
        raise UserError(f"data.target: expected a column of {source.source}, received {source.target!r}{hint}")
    column = table[source.target]
    if _has_classes(column, source):
        column = column.cast(pa.string())
    elif not is_number(column.type):
        raise UserError(
            f"target {source.target!r}: expected numbers for a regression, received {column.drop_null()[0]}"
        )
    table = table.drop_columns([source.target]).append_column(TARGET, column)
    return table.filter(column.is_valid())
