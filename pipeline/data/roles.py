"""Which columns a network learns from: identifiers, free text and constants are left out, each with a reason."""

import re

import pandas as pd
import pyarrow as pa

from contracts.schema import DroppedColumn
from contracts.settings.source import Source
from pipeline.tables import TARGET

ID_NAME = re.compile(r"(^|[^a-z])(id|uuid|guid|key|index|row|unnamed)$|[a-z]I[dD]$|^PID$|^order$", re.IGNORECASE)
GROUP_NAME = re.compile(
    r"customer|client|patient|subject|person|user|account|household|session|device|participant", re.IGNORECASE
)
FEW = 20  # so many different values make groups, whatever their share
GROUPS = 0.5  # a text column with more different values than this share of its rows names rows, not groups
WORDS = 2  # spaces in a text, on average, from which on it is free text rather than a code


def role_of(column: pd.Series) -> DroppedColumn | None:
    """Why a column of the train rows is not learned from; None for a feature."""
    name, present = str(column.name), column.dropna()
    n, distinct = len(present), present.nunique()
    if distinct < 2:
        values = f"the one value {present.iloc[:1].tolist()[0]!r}" if distinct else "no value"
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


def split_hints(table: pa.Table, source: Source) -> tuple[str, ...]:
    """For data of one's own that is not split by time or by group: which columns look as if it should be, and why."""
    if not source.is_file or source.splits_by.by in ("time", "group", "column"):
        return ()
    hints = []
    for name in set(table.column_names) - {TARGET}:
        column, present = table[name], table[name].drop_null()
        if pa.types.is_temporal(column.type) and len(present.unique()) > FEW:
            hints.append(
                f"{name} holds dates: if the model is to predict later rows, split by time: "
                f"data.split: {{by: time, column: {name}}}"
            )
        elif ID_NAME.search(name) or GROUP_NAME.search(name):
            distinct = len(present.unique())
            if FEW < distinct <= GROUPS * len(present) and not pa.types.is_floating(column.type):
                hints.append(
                    f"{name} has {distinct:,} values of {len(present) / distinct:.1f} rows each: if the model is to "
                    f"predict for others, split by group: data.split: {{by: group, column: {name}}}"
                )
    return tuple(sorted(hints))
