"""The target of a table of one's own: classes as text, numbers, labels that are true or false, or several numbers."""

import pyarrow as pa
import pyarrow.compute as pc

from contracts.errors import UserError, nearest
from contracts.settings.source import Source
from pipeline.sources.values import Conversion, is_number
from pipeline.tables import IS_TEST, TARGET, note_integer_classes

MOST_NAMED = 30  # columns in a message
MOST_LABELS = 1000  # of a target that holds several in one text
MOST_CLASSES = 20  # a target of whole numbers has classes where it has at most so many different ones
TRUTHS = ({"0", "1"}, {"false", "true"}, {"no", "yes"}, {"f", "t"}, {"n", "y"})  # false first, in the alphabet too


def restore_classes(table: pa.Table, texts: pa.Table, source: Source, found: Conversion) -> pa.Table:
    """The target as it was written, where it has classes: 01 stays 01."""
    (name, *others) = source.targets or ("",)
    if others or source.separator or name not in table.column_names or not _has_classes(table[name], source):
        return table
    column = pc.utf8_trim_whitespace(texts[name])
    written = pc.if_else(
        pc.is_in(column, value_set=pa.array(found.missing, pa.string())), pa.scalar(None, pa.string()), column
    )
    field = pa.field(name, pa.string())
    if pa.types.is_integer(table[name].type):
        field = note_integer_classes(field)
    return table.set_column(table.column_names.index(name), field, written)


def with_target(table: pa.Table, source: Source) -> tuple[pa.Table, list[str]]:
    """The table with `TARGET` as its last column, without the rows that have none.

    Returns:
        the table; and how many rows are left out, in a sentence.

    Raises:
        UserError: where a target does not exist, is the only column, or holds what no network predicts.
    """
    names = source.targets
    for name in names:
        if name not in table.column_names:
            hint = nearest(name, table.column_names) or f"; there are {', '.join(table.column_names[:MOST_NAMED])}"
            hint += ", …" if hint.startswith("; there") and table.num_columns > MOST_NAMED else ""
            raise UserError(f"data.target: expected a column of {source.source}, received {name!r}{hint}")
    if not set(table.column_names) - {*names, IS_TEST}:
        raise UserError(f"{source.source}: expected columns to learn from beside {' and '.join(names)}, received none")
    complete = pc.invert(table[names[0]].is_null())
    for name in names[1:]:
        complete = pc.and_(complete, pc.invert(table[name].is_null()))
    n_rows, table = table.num_rows, table.filter(complete)
    field, column = _target(table, source)
    left_out = n_rows - table.num_rows
    notes = [f"{left_out:,} of {n_rows:,} rows have no {' or '.join(names)} and are left out"] if left_out else []
    return table.drop_columns(list(names)).append_column(field, column), notes


def _target(table: pa.Table, source: Source) -> tuple[pa.Field, pa.ChunkedArray | pa.Array]:
    names = source.targets
    if source.separator is not None:
        column = _labels(table[names[0]], source.separator)
    elif len(names) > 1:
        column = _several(table.select(list(names)), source)
    else:
        (name,) = names
        column, field = table[name], table.schema.field(name)
        if _has_classes(column, source):
            if pa.types.is_integer(column.type):
                field = note_integer_classes(field)
            column = column.cast(pa.string())
        elif not is_number(column.type):
            raise UserError(f"target {name!r}: expected numbers for a regression, received {column.drop_null()[0]}")
        return pa.field(TARGET, column.type, metadata=field.metadata), column
    return pa.field(TARGET, column.type), column


def _has_classes(column: pa.ChunkedArray, source: Source) -> bool:
    if source.task is not None:
        return source.task in ("binary", "multiclass")
    if not is_number(column.type):
        return True
    return pa.types.is_integer(column.type) and len(column.drop_null().unique()) <= MOST_CLASSES


def _labels(column: pa.ChunkedArray, separator: str) -> pa.Array:
    """Whether a row's text holds each label."""
    rows = [{label.strip() for label in text.split(separator)} - {""} for text in column.cast(pa.string()).to_pylist()]
    labels = sorted(set().union(*rows))
    if not 1 <= len(labels) <= MOST_LABELS:
        raise UserError(
            f"data.separator: expected one label or more between {separator!r}, and at most {MOST_LABELS:,} different "
            f"ones, received {len(labels):,}"
        )
    return pa.StructArray.from_arrays([pa.array([label in row for row in rows]) for label in labels], labels)


def _several(table: pa.Table, source: Source) -> pa.Array:
    """Several numbers, or several labels where every column says only true or false."""
    truths = [_truth(column) for column in table.columns]
    if source.task != "regression" and all(truth is not None for truth in truths):
        return pa.StructArray.from_arrays([truth for truth in truths if truth is not None], table.column_names)
    wanted = {None: "numbers in all, or true and false in all", "regression": "numbers", "multilabel": "true and false"}
    fits = [is_number(column.type) and source.task != "multilabel" for column in table.columns]
    if unfit := [name for name, fit in zip(table.column_names, fits, strict=True) if not fit]:
        raise UserError(f"data.target: expected {wanted[source.task]}, received other values in {', '.join(unfit)}")
    numbers = [column.cast(pa.float64()).combine_chunks() for column in table.columns]
    return pa.StructArray.from_arrays(numbers, table.column_names)


def _truth(column: pa.ChunkedArray) -> pa.Array | None:
    """A column as true and false, however these are written; None for one that holds something else."""
    texts = pc.utf8_lower(column.cast(pa.string())).combine_chunks()
    values = set(pc.unique(texts).to_pylist())
    pair = next((pair for pair in TRUTHS if values <= pair), None)
    return None if pair is None else pc.equal(texts, max(pair))
