"""Rows of CSV: a header with the features' names in any order; an empty field is a missing value.

Text that has the delimiter of the data's files is also read with their decimal mark and their markers of missing
values.
"""

import csv
import io
import re
from collections.abc import Callable, Set

from contracts.schema import Feature, NumericFeature, TextForm
from serving.errors import FieldError, Problem, invalid_request, quote_name
from serving.validation.validator import EncodedRows, InputValidator

PLAIN = TextForm()
LINES_PER_ROW = 20  # line ends for each row that a request may have, because texts in quotes may have some too
THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(,\d{3})+(\.\d*)?")
POINTS = re.compile(r"[+-]?[1-9]\d{0,2}(\.\d{3})+(,\d*)?([eE][+-]?\d+)?")
MARKS = frozenset(TextForm.GROUPING)
GROUPING = re.compile(rf"(?<=\d)[{TextForm.GROUPING}](?=\d{{3}}(?!\d))")


def csv_rows(validator: InputValidator, body: bytes) -> EncodedRows:
    """The encoded rows of a CSV text.

    Raises:
        Problem: 400 with the line and column of every error, 413 for too many lines.
    """
    maximum = LINES_PER_ROW * validator.max_rows
    if (received := body.count(b"\n") + body.count(b"\r")) > maximum:  # millions of them take a gigabyte
        raise Problem(413, f"expected at most {maximum} line ends in a CSV, received {received}")
    try:
        text = _decode(validator, body)
        form = form_of(validator, io.StringIO(text, newline="").readline())
        lines = list(csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=form.delimiter))
    except UnicodeDecodeError as error:
        raise Problem(400, f"the CSV is not UTF-8: byte {error.start} cannot be read") from None
    except csv.Error as error:
        raise Problem(400, f"the CSV cannot be read: {error}") from None
    return validate_lines(validator, lines, form)


def _decode(validator: InputValidator, body: bytes) -> str:
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError:
        if validator.schema.text is None or validator.schema.text.encoding.startswith("utf-8"):
            raise
        return body.decode(validator.schema.text.encoding)


def form_of(validator: InputValidator, header: str) -> TextForm:
    """How a text with this header line is written: like the files of the data, or as plain CSV if commas divide it."""
    form = validator.schema.text
    if form is None:
        return PLAIN
    by_comma = set(_names(next(csv.reader([header]), []), validator))
    return PLAIN if form.delimiter != "," and by_comma.issuperset(validator.names) else form


def validate_lines(
    validator: InputValidator, lines: list[list[str]], form: TextForm = PLAIN, lines_before: int = 1
) -> EncodedRows:
    """The encoded rows of a header and the lines after it; empty lines are skipped.

    Args:
        lines_before: lines of the file before `lines[1]`, for the line numbers in errors.
    """
    names = validator.names
    if not lines or not any(lines[0]):
        raise Problem(400, f"the CSV is empty: expected a header with {', '.join(names)}")
    header = _names(lines[0], validator)
    header[0] = header[0] or TextForm.UNNAMED
    if errors := header_errors("line 1", header, names, validator.ignored):
        raise invalid_request(*errors)
    numbered = [(number, line) for number, line in enumerate(lines[1:], start=lines_before + 1) if line]
    validator.check_row_count(len(numbered))
    ragged = [
        FieldError(f"line {number}", f"{len(header)} columns", f"{len(line)} columns")
        for number, line in numbered
        if len(line) != len(header)
    ]
    if ragged:
        raise invalid_request(*ragged)
    positions = [header.index(name) for name in names]
    missing = frozenset(form.missing)

    def text(field: str) -> str | None:
        plain = field if form is PLAIN else field.strip()
        return None if plain in missing else plain

    def reader(feature: Feature) -> Callable[[str], float | str | None]:
        if not isinstance(feature, NumericFeature):
            return text
        unit = form.units.get(feature.name, "")
        return lambda field: None if field in missing else read_number(field, form, unit)

    readers = [reader(feature) for feature in validator.schema.features]
    table = [[read(line[p]) for p, read in zip(positions, readers, strict=True)] for _, line in numbered]
    return validator.validate_table(table, lambda row, name: f"line {numbered[row][0]}, column {name!r}", [])


def _names(header: list[str], validator: InputValidator) -> list[str]:
    """The names of a header, without blanks around those that have none in the data."""
    return [name if name in validator.names else name.strip() for name in header]


def header_errors(
    path: str, header: list[str], names: tuple[str, ...], ignored: Set[str] = frozenset()
) -> list[FieldError]:
    """An error for every missing, repeated and unknown column."""
    missing = [FieldError(path, f"a column {name!r}", "none of that name") for name in names if name not in header]
    repeated = [
        FieldError(path, "each name once", f"{quote_name(name)} twice") for name in names if header.count(name) > 1
    ]
    unknown = [
        FieldError(path, "only features as columns", quote_name(name))
        for name in header
        if name not in names and name not in ignored
    ]
    return missing + repeated + unknown


def read_number(text: str, form: TextForm, unit: str) -> float | str | None:
    """The number in a field, None for a missing one, or its text, for which the validator then names the error.

    Args:
        unit: a character that may be before or after the number.
    """
    plain = text.strip()
    if plain in form.missing or not plain:
        return None
    if unit and unit in plain:
        sign = plain[0] if plain[0] in "+-" else ""
        plain = sign + plain.removeprefix(sign).removeprefix(unit).removesuffix(unit).strip()
    if not MARKS.isdisjoint(plain):  # few numbers have one, and the search for one takes longer
        plain = GROUPING.sub("", plain)
    if form.decimal == ",":
        if "." in plain and not POINTS.fullmatch(plain):  # 36.6 is no number there, as in training
            return text
        plain = plain.replace(".", "").replace(",", ".")
    elif THOUSANDS.fullmatch(plain):
        plain = plain.replace(",", "")
    try:
        return float(plain) if "_" not in plain else text
    except ValueError:
        return text
