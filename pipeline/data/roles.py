"""Which columns a network learns from: identifiers, free text and constants are left out, each with a reason."""

import re

import pandas as pd

from contracts.schema import DroppedColumn

ID_NAME = re.compile(r"(^|[^a-z])(id|uuid|guid|key|index|row)$|[a-z]I[dD]$|^PID$|^order$", re.IGNORECASE)
FEW = 20  # so many different values make groups, whatever their share
GROUPS = 0.5  # a text column with more different values than this share of its rows names rows, not groups
WORDS = 2  # spaces in a text, on average, from which on it is free text rather than a code


def role_of(column: pd.Series) -> DroppedColumn | None:
    """Why a column of the train rows is not learned from; None for a feature."""
    name, present = str(column.name), column.dropna()
    n, distinct = len(present), present.nunique()
    if distinct < 2:
        values = f"the one value {present.iloc[0]!r}" if distinct else "no value"
        return DroppedColumn(name=name, role="constant", reason=f"it has {values} in the train rows")
    if pd.api.types.is_datetime64_any_dtype(column):
        return None
    if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
        whole = bool((present == present.round()).all())
        if whole and FEW < distinct == len(column) and (ID_NAME.search(name) or present.is_monotonic_increasing):
            return DroppedColumn(name=name, role="identifier", reason="every row has another whole number")
        return None
    if distinct <= max(FEW, GROUPS * n):
        return None
    if present.astype(str).str.count(r"\s").mean() >= WORDS:
        return DroppedColumn(name=name, role="text", reason=f"{distinct:,} different texts in {n:,} rows")
    return DroppedColumn(name=name, role="identifier", reason=f"{distinct:,} different values in {n:,} rows")
