"""Columns of text as numbers, dates or text, by one convention for a whole file."""

import re
from collections.abc import Set
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from contracts.schema import TextForm
from pipeline.sources.conversion.dates import nearly_dates, parse_dates
from pipeline.sources.conversion.matching import MOSTLY, matches
from pipeline.tables import note_date_format

MISSING = ("", "NA", "N/A", "n/a", "NaN", "nan", "NULL", "null", "None", "none", "#N/A", "?")
# Decimal mark and thousands separator; a space or an apostrophe separates thousands beside either mark.
CONVENTIONS = {"point": (".", ","), "comma": (",", ".")}
MARKERS, MANY = 2, 20  # so few texts among more different numbers than these are markers of missing ones
UNITS = "$€£¥%"  # one of them may be before or after every number of a column
LEADING_ZERO = r"^0\d+$"
INTEGER = r"^[+-]?(0|[1-9]\d*)$"  # a leading zero belongs to a code, such as a postcode


@dataclass(frozen=True)
class Conversion:
    """The form of a file: the decimal mark, the markers of missing values, the format of each date column, the unit of
    each column whose numbers have one.

    `no_numbers` has the rows that are not numbers, bool of shape (n_rows,), for columns of text that should be numbers
    or nearly are; `no_dates` has the same for columns that are nearly dates of a format. `in_doubt` has a text of each
    column of numbers in which the decimal mark may divide thousands; `with_signs` one of each column of text that would
    be numbers without their brackets or unit.
    """

    decimal: str
    missing: tuple[str, ...]
    date_formats: dict[str, str]
    units: dict[str, str]
    no_numbers: dict[str, np.ndarray]
    no_dates: dict[str, tuple[str, np.ndarray]]
    in_doubt: dict[str, str]
    with_signs: dict[str, str]


def convert(
    table: pa.Table,
    missing: tuple[str, ...] = MISSING,
    decimal: str | None = None,
    as_text: Set[str] = frozenset(),
    as_numbers: Set[str] = frozenset(),
) -> tuple[pa.Table, Conversion]:
    """Columns of text as int64, float64 or timestamps where every value is one; the others stay text.

    Args:
        missing: texts that stand for a missing value, after spaces around them are removed.
        decimal: the decimal mark; detected if it is None.
        as_text: columns that stay text whatever they hold.
        as_numbers: columns that must be numbers, even with codes such as 007.
    """
    markers = pa.array(missing)
    texts = {name: pc.utf8_trim_whitespace(table[name].combine_chunks()) for name in table.column_names}
    found: set[str] = set()
    for name, column in texts.items():
        is_missing = pc.is_in(column, value_set=markers)
        found |= set(pc.unique(column.filter(is_missing)).to_pylist())
        texts[name] = pc.if_else(is_missing, pa.scalar(None, pa.string()), column)
    bare = {name: without_unit(column, unit_of(column)) for name, column in texts.items()}
    convention, in_doubt = {",": "comma", ".": "point"}.get(decimal or "", ""), dict[str, str]()
    if not convention:
        convention, is_clear = _convention(list(bare.values()))
        if not is_clear:
            candidates = {name: column for name, column in bare.items() if name not in as_text}
            in_doubt = {name: text for name, column in candidates.items() if (text := _grouped(column, convention))}
    formats: dict[str, str] = {}
    units: dict[str, str] = {}
    no_numbers: dict[str, np.ndarray] = {}
    no_dates: dict[str, tuple[str, np.ndarray]] = {}
    with_signs: dict[str, str] = {}
    columns = {}
    for name, column in texts.items():
        if name in as_text:
            columns[name] = column
            continue
        columns[name] = _numbers(bare[name], convention, codes=name in as_numbers)
        if columns[name] is not None and (unit := unit_of(column)) is not None:
            units[name] = unit
        if columns[name] is None and (dated := parse_dates(column)) is not None:
            formats[name], columns[name] = dated
        if columns[name] is None:
            columns[name] = column
            wrong = pc.fill_null(pc.invert(pc.match_substring_regex(column, number_pattern(convention))), False)
            if name in as_numbers or _are_nearly_numbers(column, wrong):
                no_numbers[name] = wrong.to_numpy(zero_copy_only=False)
            elif (nearly := nearly_dates(column)) is not None:
                no_dates[name] = nearly
            elif (text := _with_signs(bare[name], convention)) is not None:
                with_signs[name] = text
    mark = CONVENTIONS[convention][0]
    schema = [pa.field(name, column.type) for name, column in columns.items()]
    schema = [note_date_format(field, formats[field.name]) if field.name in formats else field for field in schema]
    return pa.table(list(columns.values()), pa.schema(schema)), Conversion(
        mark, tuple(sorted(found)), formats, units, no_numbers, no_dates, in_doubt, with_signs
    )


def markers_of(missing: tuple[str, ...] | None) -> tuple[str, ...]:
    """Texts that stand for a missing value: what the settings say, and a blank; None for the usual ones."""
    return tuple(dict.fromkeys(("", *missing))) if missing else MISSING


def _are_nearly_numbers(column: pa.Array, wrong: pa.Array) -> bool:
    """Whether few values of a column, or always the same one or two, are no numbers."""
    count = pc.sum(wrong).as_py()
    is_few = count <= (1 - MOSTLY) * (len(column) - column.null_count)
    is_marker = len(column.filter(wrong).unique()) <= MARKERS and len(column.unique()) > MANY + MARKERS
    return count > 0 and (is_few or is_marker)


def _with_signs(column: pa.Array, convention: str) -> str | None:
    """A text of a column of many numbers in brackets, as accountants write negative ones, or with a unit: 3 kg."""
    present = column.drop_null().unique()
    unit = re.sub(r"(?s).*[\d.,)]", "", present[0].as_py()) if len(present) > MANY else ""
    bare = pc.replace_substring_regex(present, rf"^(?:\((.*)\)|(.*)){re.escape(unit)}$", r"\1\2")
    if len(present) <= MANY or not matches(bare, number_pattern(convention)):
        return None
    return next((text for text in present.filter(pc.not_equal(bare, present)).to_pylist()), None)


def is_number(kind: pa.DataType) -> bool:
    return pa.types.is_integer(kind) or pa.types.is_floating(kind)


def _convention(columns: list[pa.Array]) -> tuple[str, bool]:
    """The convention under which more columns are numbers, and whether there is one; a point if both give as many."""
    counts = {name: sum(matches(column, number_pattern(name)) for column in columns) for name in CONVENTIONS}
    return max(CONVENTIONS, key=lambda name: counts[name]), len(set(counts.values())) > 1


def _grouped(column: pa.Array, convention: str) -> str | None:
    """A text with the decimal mark of a column whose numbers look like thousands in the other convention: 1.250 beside
    999; None where they do not.
    """
    mark = re.escape(CONVENTIONS[convention][0])
    if not matches(column, rf"^[+-]?(0|[1-9]\d{{0,2}}({mark}\d{{3}})*)$"):
        return None
    with_mark = pc.match_substring_regex(column.drop_null(), mark)
    return None if pc.all(with_mark).as_py() else next(iter(column.drop_null().filter(with_mark).to_pylist()), None)


def number_pattern(convention: str) -> str:
    """The pattern that texts of numbers match."""
    mark, separator = (rf"\{sign}" for sign in CONVENTIONS[convention])
    spaced = "|".join(rf"[1-9]\d{{0,2}}({sign}\d{{3}})+" for sign in TextForm.GROUPING)
    whole = rf"[1-9]\d{{0,2}}({separator}\d{{3}})+|{spaced}|\d+"  # 0,125 has a decimal comma
    return rf"^[+-]?((?i:inf(inity)?)|({whole})({mark}\d*)?|{mark}\d+)([eE][+-]?\d+)?$"


def unit_of(column: pa.Array) -> str | None:
    """The character of UNITS with which each text of a column begins or ends, as in $1,200 or 5 %; None if there is
    none.
    """
    present = column.drop_null()
    first = present[0].as_py() if len(present) else ""
    unit = next((sign for sign in UNITS if sign in first), None)
    return unit if unit is not None and matches(column, _unit_pattern(unit)) else None


def without_unit(column: pa.Array, unit: str | None) -> pa.Array:
    """The texts without their unit; a sign before it stays."""
    return column if unit is None else pc.replace_substring_regex(column, _unit_pattern(unit), r"\1\2\3")


def _unit_pattern(unit: str) -> str:
    escaped, space = re.escape(unit), "[ \u00a0\u202f]?"
    return rf"^(?:([+-]?){escaped}{space}([^{UNITS}]+)|([^{UNITS}]+?){space}{escaped})$"


def _numbers(column: pa.Array, convention: str, codes: bool) -> pa.Array | None:
    if matches(column, INTEGER) and ((exact := is_exact(column)) or not codes):
        return to_integers(column) if exact else None
    if (_are_codes(column) and not codes) or not matches(column, number_pattern(convention)):
        return None
    return to_floats(column, convention)


def _are_codes(column: pa.Array) -> bool:
    """Whether texts are codes of digits: all have a leading zero, or one has and all are as long, as postcodes are."""
    if matches(column, LEADING_ZERO):
        return True
    has_zero = pc.any(pc.match_substring_regex(column, LEADING_ZERO)).as_py()
    return bool(has_zero) and matches(column, r"^\d+$") and len(pc.unique(pc.utf8_length(column.drop_null()))) == 1


def is_exact(column: pa.Array) -> bool:
    """Whether int64 holds texts of whole numbers; longer ones are codes, because float64 makes one of several."""
    try:
        return len(to_integers(column)) == len(column)
    except pa.ArrowInvalid:
        return False


def to_integers(column: pa.Array) -> pa.Array:
    return _unsigned(column).cast(pa.int64())


def to_floats(column: pa.Array, convention: str) -> pa.Array:
    mark, separator = CONVENTIONS[convention]
    plain = pc.replace_substring_regex(column, f"[{separator}{TextForm.GROUPING}]", "")
    return _unsigned(pc.replace_substring(plain, mark, ".")).cast(pa.float64())


def _unsigned(column: pa.Array) -> pa.Array:
    """Texts of numbers without a plus sign, which PyArrow does not read."""
    return pc.replace_substring_regex(column, r"^\+", "")
