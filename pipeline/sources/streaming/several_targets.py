"""Several targets of files that are streamed: numbers, labels in columns of their own, or labels in one text."""

from dataclasses import replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from contracts.settings.source import Source
from pipeline.sources.streaming.columns import Columns
from pipeline.sources.streaming.evidence import trimmed
from pipeline.sources.streaming.target import complete, schema_with
from pipeline.sources.target_column import (
    MOST_LABELS,
    check_names,
    check_numbers,
    checked_labels,
    labels_in,
    left_out_note,
    true_text,
)
from pipeline.tables import TARGET

MOST_SPELLINGS = 50  # different texts of a column, of which more are not all true and false


class SeveralTargets:
    """The columns to predict, or the labels of one column, with the interface of `Target`."""

    def __init__(self, names: list[str], source: Source, missing: tuple[str, ...]) -> None:
        """
        Args:
            names: the columns of the data.
            missing: texts that stand for a missing value.

        Raises:
            UserError: if a target is none of them.
        """
        check_names(names, source)
        self.names, self.source, self.missing = source.targets, source, missing
        self.seen: dict[str, set[Any]] = {name: set() for name in self.names}  # values, or labels of a text
        self.most = MOST_SPELLINGS if source.separator is None else MOST_LABELS
        self.trues: dict[str, str] = {}  # the text that means true in each column of labels
        self.field = pa.field(TARGET, pa.float64())

    def look(self, table: pa.Table) -> bool:
        """Take a batch of the first pass into account; returns whether further batches matter."""
        for name in self.names:
            if pa.types.is_string(table.schema.field(name).type):
                column = trimmed(table[name].combine_chunks(), self.missing)
                table = table.set_column(table.column_names.index(name), name, column)
        table = table.select(list(self.names)).drop_null()
        for name, seen in self.seen.items():
            if len(seen) > self.most:
                continue
            if self.source.separator is not None:
                for text in pc.unique(table[name].cast(pa.string())).to_pylist():
                    seen |= labels_in(text, self.source.separator)
            else:
                seen |= set(pc.unique(table[name]).to_pylist())
        return any(len(seen) <= self.most for seen in self.seen.values())

    def decide(self, schema: pa.Schema, columns: Columns) -> Columns:
        """Decide by all values whether the targets are labels or numbers."""
        if (separator := self.source.separator) is not None:
            ((name, seen),) = self.seen.items()
            self.field = pa.field(TARGET, pa.struct([(label, pa.bool_()) for label in checked_labels(seen, separator)]))
            # 1,2 is no number, and 2020-01-01 no date.
            kinds = {column: "text" if column == name else kind for column, kind in columns.kinds.items()}
            return replace(columns, kinds=kinds, plain=columns.plain - {name})
        trues = {name: self._true(name, schema, columns) for name in self.names}
        if self.source.task != "regression" and None not in trues.values():
            self.trues = {name: true for name, true in trues.items() if true is not None}
            kind = pa.bool_()
        else:
            kinds = columns.convert(schema.empty_table()).schema
            check_numbers(pa.schema([kinds.field(name) for name in self.names]), self.source)
            kind = pa.float64()
        self.field = pa.field(TARGET, pa.struct([(name, kind) for name in self.names]))
        return columns

    def _true(self, name: str, schema: pa.Schema, columns: Columns) -> str | None:
        if len(self.seen[name]) > MOST_SPELLINGS:
            return None
        values = pa.table({name: pa.array(list(self.seen[name]), schema.field(name).type)})
        return true_text(set(pc.utf8_lower(columns.convert(values)[name].cast(pa.string())).to_pylist()))

    def schema(self, columns: pa.Schema) -> pa.Schema:
        """The schema of a table that `apply` makes."""
        return schema_with(columns, self.source, self.field)

    def apply(self, table: pa.Table, is_test: bool) -> pa.Table:
        """The rows that have all targets, with them as the last column."""
        table = complete(table, self.source, is_test)
        if self.source.separator is not None:
            parts = self._labels(table[self.names[0]], self.source.separator)
        elif self.trues:
            texts = {name: pc.utf8_lower(table[name].cast(pa.string())).combine_chunks() for name in self.names}
            parts = [pc.equal(text, self.trues[name]) for name, text in texts.items()]
        else:
            parts = [table[name].cast(pa.float64()).combine_chunks() for name in self.names]
        column = pa.StructArray.from_arrays(parts, fields=list(self.field.type))
        return table.drop_columns(list(self.names)).append_column(self.field, column)

    def _labels(self, column: pa.ChunkedArray, separator: str) -> list[pa.Array]:
        """Whether each text holds each label, looked up once for each different text."""
        encoded = column.cast(pa.string()).combine_chunks().dictionary_encode()
        rows = [labels_in(text, separator) for text in encoded.dictionary.to_pylist()]
        labels = [field.name for field in self.field.type]
        return [pa.array([label in row for row in rows], pa.bool_()).take(encoded.indices) for label in labels]

    def notes(self, read: int, written: int) -> list[str]:
        notes = left_out_note(self.names, read, read - written)
        if notes and self.source.separator is not None:
            return [f"{notes[0]}; write {self.source.separator!r} alone for a row without labels"]
        return notes
