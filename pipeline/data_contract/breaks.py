"""Every break of a contract in a table, with rows, values and what was expected."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
import pyarrow as pa

from contracts.errors import Problem, nearest, show
from pipeline.data_contract.contract import ColumnRule, Contract, NumberColumn, TextColumn

LISTED = 10  # rows of one break


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

    def add(self, table: pa.Table) -> None:
        """Look at further rows."""
        self.names = table.column_names
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
        values = pd.Series(column.to_pylist(), dtype=object, index=range(self.rows, self.rows + len(column)))
        wrong = values[_wrong(values, column.type, self.rule) & ~missing]
        if len(wrong) and len(self.first_wrong) < LISTED:
            named = wrong.iloc[: LISTED - len(self.first_wrong)]
            self.first_wrong = pd.concat([self.first_wrong, named]) if len(self.first_wrong) else named
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


def _wrong(values: pd.Series, kind: pa.DataType, rule: ColumnRule) -> np.ndarray:
    """Which values break the rule, whatever type the column has become by them."""
    if isinstance(rule, TextColumn):
        return ~values.map(_text).isin(values.map(_text) if rule.values is None else rule.values).to_numpy()
    low: float | None
    high: float | None
    if isinstance(rule, NumberColumn):
        numbers, low, high = _numbers(values, kind), rule.minimum, rule.maximum
    else:
        numbers = _seconds(values, kind)
        low = None if rule.minimum is None else pd.Timestamp(rule.minimum).timestamp()
        high = None if rule.maximum is None else pd.Timestamp(rule.maximum).timestamp() + 86_399  # its last second
    low, high = -np.inf if low is None else low, np.inf if high is None else high
    return ~((numbers >= low) & (numbers <= high) & np.isfinite(numbers))


def _numbers(values: pd.Series, kind: pa.DataType) -> np.ndarray:
    """NaN where a value is no number; in a column that a text has made text, with either decimal mark."""
    if pa.types.is_temporal(kind):
        return np.full(len(values), np.nan)
    numbers = pd.to_numeric(values, errors="coerce").astype(float)
    if pa.types.is_string(kind):
        numbers = numbers.fillna(pd.to_numeric(values.str.replace(",", "."), errors="coerce").astype(float))
    return numbers.to_numpy()


def _seconds(values: pd.Series, kind: pa.DataType) -> np.ndarray:
    """Since 1970, NaN where a value is no date."""
    if not (pa.types.is_temporal(kind) or pa.types.is_string(kind)):
        return np.full(len(values), np.nan)
    moments = pd.to_datetime(values.map(_text), errors="coerce", format="ISO8601", utc=True).dt.tz_localize(None)
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
