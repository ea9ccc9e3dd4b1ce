"""Values that a column cannot have: infinite or too large numbers, texts among numbers, values outside an order."""

import unicodedata
from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from contracts.errors import UserError
from contracts.settings.source import Source
from pipeline.tables import IS_TEST, TARGET

FLOAT32_MAX = float(np.finfo(np.float32).max)
SHOWN = 10  # rows named in a message


def check_columns(table: pa.Table, source: Source, no_numbers: Mapping[str, np.ndarray], first_row: int = 1) -> None:
    """Check the numbers of a table, and the roles that the settings give its columns.

    Args:
        no_numbers: for columns of text, the rows that are not numbers.
        first_row: the number of the first row of the table in its source.

    Raises:
        UserError: for names with control characters, or names of this project's own columns; for columns with values
            that they cannot have, with the first of these rows.
    """
    if unclean := [name for name in table.column_names if any(map(_controls, name))]:
        shown = ", ".join(map(repr, unclean[:SHOWN]))
        raise UserError(f"expected names of columns without control characters, received {shown}: rename them")
    if reserved := sorted({TARGET, IS_TEST} & set(table.column_names)):
        raise UserError(
            f"expected a column of another name than {TARGET} or {IS_TEST}, received {reserved[0]}: rename it"
        )
    problems = []
    for name in table.column_names:
        column = table[name]
        if pa.types.is_floating(column.type):
            values = np.abs(column.to_numpy())
            expected = "finite numbers" if np.isinf(values).any() else f"numbers of at most {FLOAT32_MAX:.1e}"
            problems += _problem(name, expected, column, values > FLOAT32_MAX, first_row)
        elif source.columns.get(name) == "number" and name in no_numbers:
            problems += _problem(name, "numbers", column, no_numbers[name], first_row)
        elif (order := source.order_of(name)) is not None:
            allowed = pc.is_in(column, value_set=pa.array(order, pa.string()))
            wrong = pc.and_(pc.is_valid(column), pc.invert(allowed)).to_numpy()
            problems += _problem(name, ", ".join(order), column, wrong, first_row)
    if problems:
        advice = "the data has values that cannot be learned from: correct them, or list them in data.missing"
        raise UserError("\n  ".join([advice, *problems]))


def describe_rows(column: pa.ChunkedArray | pa.Array, wrong: np.ndarray, first_row: int = 1) -> str:
    """`3 values: 'x' in row 5, …`: the first of them."""
    rows = np.flatnonzero(wrong)
    values = (f"{column[int(row)].as_py()!r} in row {row + first_row}" for row in rows[:SHOWN])
    count = f"{len(rows):,} values: " if len(rows) > 1 else ""
    return f"{count}{', '.join(values)}{', …' if len(rows) > SHOWN else ''}"


def _controls(sign: str) -> bool:
    """Whether a terminal would obey a character. Line ends and tabs are allowed, because headings of spreadsheets have
    them.
    """
    return unicodedata.category(sign) == "Cc" and sign not in "\t\r\n"


def _problem(name: str, expected: str, column: pa.ChunkedArray, wrong: np.ndarray, first_row: int) -> list[str]:
    return [f"{name}: expected {expected}, received {describe_rows(column, wrong, first_row)}"] if wrong.any() else []
