"""All breaks of a contract in a table, with their rows, their values and the rule."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from contracts.errors import Problem, nearest, show
from pipeline.data_contract.contract import ColumnRule, Contract, NumberColumn, TextColumn
from pipeline.sources.conversion.dates import moments_of, nearly_dates
from pipeline.sources.conversion.values import is_number
from pipeline.tables import as_numbers

LISTED = 10  # rows named for one break


def find_breaks(table: pa.Table, contract: Contract) -> list[Problem]:
    """All breaks, by column. Row 1 is the first row below the header."""
    breaks = Breaks(contract)
    breaks.add(table)
    return breaks.found()


class Breaks:
    """The breaks of a contract in the batches of a table."""

    def __init__(self, contract: Contract) -> None:
        self.contract = contract
        self.columns = {name: _ColumnBreaks(rule) for name, rule in contract.columns.items()}
        self.names: list[str] = []
        self.rows = 0

    def add(self, table: pa.Table) -> None:
        """Look at further rows."""
        self.names = table.column_names
        self.rows += table.num_rows
        for name, breaks in self.columns.items():
            if name in self.names:
                breaks.add(table[name])

    def found(self) -> list[Problem]:
        """All breaks of the rows so far, by column."""
        problems = []
        for name, breaks in self.columns.items():
            if name not in self.names:
                known = [other for other in self.names if other not in self.columns]
                problems.append(Problem(name, "this column", f"none{nearest(name, known)}"))
            else:
                problems += [Problem(name, *found) for found in breaks.found()]
        absent = (name for name in self.names if name not in self.columns)
        return problems + [Problem(name, "no column of this name", "one") for name in absent]


class _ColumnBreaks:
    def __init__(self, rule: ColumnRule) -> None:
        self.rule = rule
        self.rows = self.missing = self.wrong = 0
        self.first_missing: list[int] = []
        self.first_wrong = pd.Series(dtype=object)

    def add(self, column: pa.ChunkedArray) -> None:
        missing = column.is_null(nan_is_null=True).to_numpy()
        first = np.flatnonzero(missing)[: LISTED - len(self.first_missing)]
        self.first_missing += (self.rows + first).tolist()
        wrong = np.flatnonzero(_wrong(column, self.rule) & ~missing)
        if named := wrong[: LISTED - len(self.first_wrong)].tolist():
            values = pd.Series(column.take(named).to_pylist(), dtype=object, index=[self.rows + row for row in named])
            self.first_wrong = pd.concat([self.first_wrong, values]) if len(self.first_wrong) else values
        self.rows, self.missing = self.rows + len(column), self.missing + int(missing.sum())
        self.wrong += len(wrong)

    def found(self) -> Iterator[tuple[str, str]]:
        share = self.missing / max(self.rows, 1)
        if share > self.rule.missing:
            rows = ", ".join(str(row + 1) for row in self.first_missing)
            most = self.rule.missing
            allowed = f"at most {most:.3g} of the values missing" if most else "no value missing"
            yield allowed, f"{share:.3g}, in row{'s' if self.missing > 1 else ''} {rows}{_more(self.missing)}"
        if self.wrong:
            yield _expected(self.rule), _received(self.first_wrong, self.wrong)


def _wrong(column: pa.ChunkedArray, rule: ColumnRule) -> np.ndarray:
    """The values that break the rule, whatever type the column has because of them."""
    if isinstance(rule, TextColumn):
        if rule.values is None:
            return np.zeros(len(column), bool)
        if not pa.types.is_string(column.type):
            column = pa.chunked_array([pa.array([_text(value) for value in column.to_pylist()], pa.string())])
        return pc.invert(pc.is_in(column, value_set=pa.array(rule.values, pa.string()))).to_numpy()
    low: float | None
    high: float | None
    if isinstance(rule, NumberColumn):
        numbers, low, high = _numbers(column), rule.minimum, rule.maximum
    else:
        numbers = _seconds(column)
        low = None if rule.minimum is None else pd.Timestamp(rule.minimum).timestamp()
        high = None if rule.maximum is None else pd.Timestamp(rule.maximum).timestamp() + 86_399  # its last second
    low, high = -np.inf if low is None else low, np.inf if high is None else high
    return ~((numbers >= low) & (numbers <= high) & np.isfinite(numbers))


def _numbers(column: pa.ChunkedArray) -> np.ndarray:
    """The numbers, NaN for any other value. In a column that one text has made text, either decimal mark is read."""
    if is_number(column.type):
        return as_numbers(column)
    if not pa.types.is_string(column.type):
        return np.full(len(column), np.nan)
    values = pd.Series(column.to_pylist(), dtype=object)
    numbers = pd.to_numeric(values, errors="coerce").astype(float)
    return numbers.fillna(pd.to_numeric(values.str.replace(",", "."), errors="coerce").astype(float)).to_numpy()


def _seconds(column: pa.ChunkedArray) -> np.ndarray:
    """Seconds since 1970, NaN for a value that is not a date."""
    if pa.types.is_temporal(column.type):
        return as_numbers(column)
    if not pa.types.is_string(column.type):
        return np.full(len(column), np.nan)
    if (nearly := nearly_dates(column.combine_chunks())) is not None:  # some other text has made the column text
        return as_numbers(pa.chunked_array([moments_of(column.combine_chunks(), nearly[0])]))
    moments = pd.to_datetime(pd.Series(column.to_pylist(), dtype=object), errors="coerce", format="ISO8601", utc=True)
    moments = moments.dt.tz_localize(None)
    return np.where(moments.isna(), np.nan, moments.to_numpy("datetime64[s]").astype(float))


def _text(value: object) -> object:
    return value if value is None or isinstance(value, str) else str(value)


def _expected(rule: ColumnRule) -> str:
    if isinstance(rule, TextColumn):
        listed = ", ".join((rule.values or ())[:LISTED])
        return f"one of {listed}{_more(len(rule.values or ()))}"
    ends = [f"{word} {_end(end)}" for word, end in (("from", rule.minimum), ("to", rule.maximum)) if end is not None]
    return " ".join([f"a {rule.type}", *ends])


def _end(end: object) -> str:
    return f"{end:.12g}" if isinstance(end, float) else str(end)


def _received(values: pd.Series, count: int) -> str:
    rows = zip(values.index.to_numpy() + 1, values, strict=True)
    shown = [f"{value if isinstance(value, int | float) else show(_text(value))} in row {row}" for row, value in rows]
    return ", ".join(shown) + _more(count)


def _more(n: int) -> str:
    return f", … ({n:,} in all)" if n > LISTED else ""
