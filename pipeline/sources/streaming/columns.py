"""The type of each column, found in a first pass over all rows, and its values, converted in a second pass."""

from dataclasses import dataclass

import pyarrow as pa

from contracts.errors import UserError
from contracts.settings.source import Source
from pipeline.sources.conversion.dates import parse_date_form
from pipeline.sources.conversion.values import CONVENTIONS, to_floats, to_integers, without_unit
from pipeline.sources.streaming.evidence import Evidence, find_convention, trimmed
from pipeline.tables import note_date_format

TYPES = {"integer": pa.int64(), "number": pa.float64(), "text": pa.string()}


@dataclass(frozen=True)
class Columns:
    """The kind of each column of text, by its name, and its texts that stand for a missing value.

    `plain` are the columns that PyArrow reads as numbers itself; `units` are the characters beside the numbers of
    others.
    """

    kinds: dict[str, str]
    missing: dict[str, tuple[str, ...]]
    convention: str
    plain: frozenset[str]
    units: dict[str, str]
    notes: tuple[str, ...]

    @property
    def decimal(self) -> str:
        return CONVENTIONS[self.convention][0]

    def types(self) -> dict[str, pa.DataType]:
        """The types of the plain columns, for the reader of a file."""
        return {name: TYPES[self.kinds[name]] for name in self.plain}

    def convert(self, table: pa.Table) -> pa.Table:
        """A batch with the final type of each column."""
        for position, field in enumerate(table.schema):
            if field.name not in self.kinds:
                continue
            kind, column = self.kinds[field.name], table[field.name].combine_chunks()
            if pa.types.is_string(field.type):
                column = trimmed(column, self.missing[field.name])
                column = _converted(without_unit(column, self.units.get(field.name)), kind, self.convention)
            new = pa.field(field.name, column.type)
            table = table.set_column(position, note_date_format(new, kind) if kind not in TYPES else new, column)
        return table


def find_columns(evidence: dict[str, Evidence], source: Source, of_text: bool) -> Columns:
    """Find the types of the columns of text.

    Args:
        of_text: whether the file has no types, so that columns of text may be numbers.

    Raises:
        UserError: if a column that the settings call a number holds other texts.
    """
    convention = {",": "comma", ".": "point", None: ""}[source.decimal] or find_convention(list(evidence.values()))
    kinds, notes, problems = {}, [], []
    for name, found in evidence.items():
        role = source.columns.get(name, "drop")
        kind = found.kind(convention, role == "number")
        if role not in ("number", "drop") or (not of_text and role != "number" and kind in ("integer", "number")):
            kind = "text"
        kinds[name] = kind
        if role == "number" and kind not in ("integer", "number"):
            problems.append(f"{name}: expected numbers, received {found.mistakes[convention]}")
        elif of_text and kind == "text" and role == "drop" and (wrong := found.nearly_numbers(convention)):
            notes.append(
                f"{name}: text, though nearly all values are numbers, because of {wrong}; "
                "data.missing takes them as missing"
            )
        elif kind not in TYPES:
            notes.append(f"{name}: dates as {kind}")
    if problems:
        advice = "the data has values that cannot be learned from: correct them, or list them in data.missing"
        raise UserError("\n  ".join([advice, *problems]))
    plain = {name for name, found in evidence.items() if found.is_plain and kinds[name] in ("integer", "number")}
    missing = {name: found.missing for name, found in evidence.items()}
    units = {
        name: found.unit for name, found in evidence.items() if found.unit and kinds[name] in ("integer", "number")
    }
    notes += [f"{name}: numbers in {unit}" for name, unit in units.items()]
    return Columns(kinds, missing, convention, frozenset(plain if convention == "point" else ()), units, tuple(notes))


def _converted(column: pa.Array, kind: str, convention: str) -> pa.Array:
    if kind == "text":
        return column
    if kind == "integer":
        return to_integers(column)
    if kind == "number":
        return to_floats(column, convention)
    moments = parse_date_form(column, kind)
    return moments if moments is not None else pa.nulls(len(column), pa.timestamp("s"))
