"""The target of files that are streamed: classes as text, or a number."""

from collections import Counter
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from contracts.errors import UserError
from contracts.settings.source import Source
from pipeline.sources.conversion.values import is_number
from pipeline.sources.streaming.columns import Columns
from pipeline.sources.target_column import MOST_CLASSES, alike_note, are_classes, check_names, left_out_note, rare_note
from pipeline.tables import IS_TEST, TARGET, note_integer_classes


class Target:
    """The column to predict: examined in the first pass, and made `TARGET` in the second."""

    def __init__(self, names: list[str], source: Source) -> None:
        """
        Args:
            names: the columns of the data.

        Raises:
            UserError: if the target is none of them.
        """
        check_names(names, source)
        self.names, self.source = source.targets, source
        (self.name,) = source.targets
        self.counts: Counter[Any] = Counter()  # rows of each value, as long as there are few values
        self.field = pa.field(TARGET, pa.float64())

    def look(self, table: pa.Table) -> bool:
        """Take a batch of the first pass into account; returns whether further batches matter."""
        column = table[self.name].drop_null()
        first = set(pc.unique(column.slice(0, 1000)).to_pylist())
        if len(self.counts.keys() | first) > MOST_CLASSES:
            self.counts.update(first)
            return False
        for found in pc.value_counts(column).to_pylist():
            self.counts[found["values"]] += found["counts"]
        return len(self.counts) <= MOST_CLASSES

    def decide(self, schema: pa.Schema, columns: Columns) -> Columns:
        """Decide by all of its values whether the target has classes; their texts are kept as written."""
        kinds = columns.kinds
        kind = columns.convert(schema.empty_table()).schema.field(self.name).type
        if pa.types.is_integer(kind) and pa.types.is_string(schema.field(self.name).type):
            self._join_spellings(columns)
        if self._has_classes(kind):
            self.field = pa.field(TARGET, pa.string())
            if pa.types.is_integer(kind):
                self.field = note_integer_classes(self.field)
            kinds = {name: "text" if name == self.name else known for name, known in kinds.items()}
            return replace(columns, kinds=kinds, plain=columns.plain - {self.name})
        if not is_number(kind):
            raise UserError(
                f"target {self.name!r}: expected numbers for a regression, received {next(iter(self.counts), None)}"
            )
        self.field = pa.field(TARGET, kind)
        return columns

    def _has_classes(self, kind: pa.DataType) -> bool:
        if self.source.task is not None:
            return self.source.task in ("binary", "multiclass")
        if not is_number(kind):
            return True
        return pa.types.is_integer(kind) and are_classes(self.counts.values())

    def _join_spellings(self, columns: Columns) -> None:
        """Count whole numbers, however they are written."""
        numbers = columns.convert(pa.table({self.name: list(self.counts)}))[self.name].to_pylist()
        rows, self.counts = self.counts.values(), Counter()
        for number, count in zip(numbers, rows, strict=True):
            self.counts[number] += count

    def schema(self, columns: pa.Schema) -> pa.Schema:
        """The schema of a table that `apply` makes."""
        return schema_with(columns, self.source, self.field)

    def apply(self, table: pa.Table, is_test: bool) -> pa.Table:
        """The rows that have a target, with it as the last column."""
        table = complete(table, self.source, is_test)
        column = table[self.name].cast(self.field.type)
        return table.drop_columns([self.name]).append_column(self.field, column)

    def notes(self, read: int, written: int) -> list[str]:
        notes = left_out_note((self.name,), read, read - written)
        if self.source.task is None and pa.types.is_integer(self.field.type) and len(self.counts) <= MOST_CLASSES:
            notes.append(rare_note(self.name))
        if pa.types.is_string(self.field.type):
            notes += alike_note(self.name, {str(value).strip() for value in self.counts})
        return notes


def schema_with(columns: pa.Schema, source: Source, target: pa.Field) -> pa.Schema:
    """The columns without those of the target, the mark of test rows where the source has its own, and the target."""
    rest = pa.schema([field for field in columns if field.name not in source.targets], columns.metadata)
    if source.test_source is not None:
        rest = rest.append(pa.field(IS_TEST, pa.bool_()))
    return rest.append(target)


def complete(table: pa.Table, source: Source, is_test: bool) -> pa.Table:
    """The rows that have every target, marked as test rows or not where the source has its own."""
    if source.test_source is not None:
        table = table.append_column(IS_TEST, pa.repeat(is_test, len(table)))
    for name in source.targets:
        if table[name].null_count:
            table = table.filter(pc.is_valid(table[name]))
    return table
