"""Rows of a CSV file: a header with the features' names, in any order; an empty field is a missing value."""

import csv
import io

from contracts.schema import NumericFeature
from serving.errors import Problem, Wrong, refuse, shown
from serving.validation.rows import Door, Rows


def csv_rows(door: Door, body: bytes) -> Rows:
    """The encoded rows of a CSV text.

    Raises:
        Problem: 400, with line and column of everything that is wrong.
    """
    try:
        text = body.decode("utf-8-sig")
        lines = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except UnicodeDecodeError as error:
        raise Problem(400, f"the CSV is not UTF-8: byte {error.start} cannot be read") from None
    except csv.Error as error:
        raise Problem(400, f"the CSV cannot be read: {error}") from None
    return parsed_rows(door, lines)


def parsed_rows(door: Door, lines: list[list[str]], before: int = 1) -> Rows:
    """The encoded rows of a header and the lines after it; an empty line is none.

    Args:
        before: lines of the file before the second of `lines`, for the complaints.
    """
    if not lines or not any(lines[0]):
        raise Problem(400, f"the CSV is empty: expected a header with {', '.join(door.names)}")
    header = [name.strip() for name in lines[0]]
    missing = [name for name in door.names if name not in header]
    errors = [Wrong("line 1", f"a column {name!r}", "none of that name") for name in missing]
    errors += [
        Wrong("line 1", "each name once", f"{shown(name)} twice") for name in door.names if header.count(name) > 1
    ]
    unknown = [name for name in header if name not in door.names]
    errors += [Wrong("line 1", "no column that is no feature", shown(name)) for name in unknown]
    if errors:
        raise refuse(*errors)
    numbered = [(number, line) for number, line in enumerate(lines[1:], start=before + 1) if line]
    door.check_count(len(numbered))
    ragged = [pair for pair in numbered if len(pair[1]) != len(header)]
    if ragged:
        raise refuse(*(Wrong(f"line {n}", f"{len(header)} columns", f"{len(line)} columns") for n, line in ragged))
    positions = [header.index(name) for name in door.names]
    numeric = [isinstance(feature, NumericFeature) for feature in door.schema.features]
    table = [
        [_number(line[p]) if is_number else line[p] or None for p, is_number in zip(positions, numeric, strict=True)]
        for _, line in numbered
    ]
    return door.table(table, lambda row, name: f"line {numbered[row][0]}, column {name!r}", [])


def _number(text: str) -> float | str | None:
    """The number that a field holds; a field that holds none stays text, for the door to refuse."""
    if not text or text.isspace():
        return None
    try:
        return float(text) if "_" not in text else text
    except ValueError:
        return text
