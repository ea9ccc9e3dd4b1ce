"""The target of the user's own table: classes as text, a number, labels that are true or false, or several numbers."""

from collections.abc import Collection, Iterable

import pyarrow as pa
import pyarrow.compute as pc

from contracts.errors import UserError, nearest
from contracts.settings.source import Source
from pipeline.sources.conversion.values import Conversion, is_number
from pipeline.tables import FEWEST, IS_TEST, TARGET, note_integer_classes

MOST_NAMED = 30  # columns named in a message
MOST_ALIKE = 5  # groups of classes named in a message
MOST_LABELS = 1000  # labels of a target that holds several in one text
MOST_CLASSES = 20  # most different whole numbers that are classes, each with enough rows
TRUTHS = ({"0", "1"}, {"false", "true"}, {"no", "yes"}, {"f", "t"}, {"n", "y"})  # false first, as in the alphabet


def restore_classes(table: pa.Table, texts: pa.Table, source: Source, found: Conversion) -> pa.Table:
    """The target as it is written, if it has classes: 01 stays 01."""
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
    """The table with `TARGET` as its last column, without rows that lack a target.

    Returns:
        the table; and how many rows are left out, in a sentence.

    Raises:
        UserError: if a target does not exist, is the only column, or has values that no network predicts.
    """
    names = source.targets
    check_names(table.column_names, source)
    complete = pc.invert(table[names[0]].is_null())
    for name in names[1:]:
        complete = pc.and_(complete, pc.invert(table[name].is_null()))
    n_rows, table = table.num_rows, table.filter(complete)
    field, column = _target(table, source)
    notes = left_out_note(names, n_rows, n_rows - table.num_rows)
    if notes and source.separator is not None:
        notes = [f"{notes[0]}; write {source.separator!r} alone for a row without labels"]
    if pa.types.is_integer(column.type) and source.task is None and len(column.unique()) <= MOST_CLASSES:
        notes.append(rare_note(names[0]))
    if pa.types.is_floating(column.type) and source.task is None:
        notes += _whole_note(names[0], pc.unique(column).to_pylist())
    if pa.types.is_string(column.type):
        notes += alike_note(names[0], column.unique().to_pylist())
    return table.drop_columns(list(names)).append_column(field, column), notes


def check_names(columns: list[str], source: Source) -> None:
    """Refuse a target that is not a column of the data, or that leaves no other column."""
    for name in source.targets:
        if name not in columns:
            hint = nearest(name, columns) or f"; there are {', '.join(columns[:MOST_NAMED])}"
            hint += ", …" if hint.startswith("; there") and len(columns) > MOST_NAMED else ""
            raise UserError(f"data.target: expected a column of {source.source}, received {name!r}{hint}")
    if set(columns) <= {*source.targets, IS_TEST}:
        raise UserError(
            f"{source.source}: expected more columns than {' and '.join(source.targets)}, to learn from, received none"
        )


def left_out_note(names: tuple[str, ...], n_rows: int, left_out: int) -> list[str]:
    return [f"{left_out:,} of {n_rows:,} rows have no {' or '.join(names)} and are left out"] if left_out else []


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
    if not pa.types.is_integer(column.type):
        return not is_number(column.type)
    return are_classes(column.drop_null().value_counts().field("counts").to_pylist())


def are_classes(counts: Collection[int]) -> bool:
    """Whether different whole numbers are classes, each with enough rows; otherwise they count something."""
    return len(counts) <= 2 or (len(counts) <= MOST_CLASSES and min(counts) >= FEWEST)


def rare_note(name: str) -> str:
    return f"{name}: a number, because some of its whole numbers have fewer than {FEWEST} rows"


def _whole_note(name: str, values: list[float]) -> list[str]:
    """That few whole numbers are predicted as numbers because of how they are written, as pandas does beside gaps."""
    if not 2 <= len(values) <= MOST_CLASSES or not all(value.is_integer() for value in values):
        return []
    task = "binary" if len(values) == 2 else "multiclass"
    shown = ", ".join(map(str, sorted(values)))
    return [f"{name}: a number, because its values are written as {shown}; data.task: {task} predicts classes"]


def alike_note(name: str, classes: Iterable[str]) -> list[str]:
    """Which texts of a target differ in case or blanks alone: they are different classes, perhaps by mistake."""
    spellings: dict[str, list[str]] = {}
    for text in sorted(classes):
        spellings.setdefault("".join(text.casefold().split()), []).append(text)
    alike = [", ".join(map(repr, texts)) for texts in spellings.values() if len(texts) > 1]
    shown = "; ".join(alike[:MOST_ALIKE]) + ("; …" if len(alike) > MOST_ALIKE else "")
    return (
        [f"{name}: different classes are spelt alike: {shown}; if they are one, write it alike in the source"]
        if alike
        else []
    )


def _labels(column: pa.ChunkedArray, separator: str) -> pa.Array:
    """Whether a row's text holds each label."""
    rows = [labels_in(text, separator) for text in column.cast(pa.string()).to_pylist()]
    labels = checked_labels(set().union(*rows), separator)
    return pa.StructArray.from_arrays([pa.array([label in row for row in rows]) for label in labels], labels)


def labels_in(text: str, separator: str) -> set[str]:
    return {label.strip() for label in text.split(separator)} - {""}


def checked_labels(labels: set[str], separator: str) -> list[str]:
    """The labels of all rows in their order; UserError if there are none or too many."""
    if not 1 <= len(labels) <= MOST_LABELS:
        raise UserError(
            f"data.separator: expected one label or more between {separator!r}, and at most {MOST_LABELS:,} different "
            f"ones, received {len(labels):,}"
        )
    return sorted(labels)


def _several(table: pa.Table, source: Source) -> pa.Array:
    """Several numbers, or several labels if every column has only true and false."""
    texts = {name: pc.utf8_lower(table[name].cast(pa.string())).combine_chunks() for name in table.column_names}
    truths = [true_text(set(pc.unique(text).to_pylist())) for text in texts.values()]
    if source.task != "regression" and None not in truths:
        columns = [pc.equal(text, truth) for text, truth in zip(texts.values(), truths, strict=True)]
        return pa.StructArray.from_arrays(columns, table.column_names)
    check_numbers(table.schema, source)
    numbers = [column.cast(pa.float64()).combine_chunks() for column in table.columns]
    return pa.StructArray.from_arrays(numbers, table.column_names)


def check_numbers(targets: pa.Schema, source: Source) -> None:
    """Refuse several targets that are not true and false in all, if they are not numbers in all."""
    wanted = {None: "numbers in all, or true and false in all", "regression": "numbers", "multilabel": "true and false"}
    if unfit := [field.name for field in targets if not is_number(field.type) or source.task == "multilabel"]:
        raise UserError(f"data.target: expected {wanted[source.task]}, received other values in {', '.join(unfit)}")


def true_text(texts: set[str]) -> str | None:
    """The text, in lower case, that means true among those of a column; None if others are among them."""
    pair = next((pair for pair in TRUTHS if texts <= pair), None)
    return None if pair is None else max(pair)
