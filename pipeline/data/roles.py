"""The columns that a network learns from. Identifiers, free text and constants are left out, each with a reason."""

import re

import numpy as np
import pandas as pd
import pyarrow as pa

from contracts.schema import DroppedColumn
from contracts.settings.source import Source
from pipeline.data.texts import Texts, is_text, texts_of
from pipeline.tables import TARGET

ID_NAME = re.compile(
    r"(^|[^a-z])(id|uuid|guid|key|index|row|unnamed)$|(?-i:[a-z]I[dD]$)|^PID$|^order$"
    r"|^unnamed: \d+(\.\d+)?$|^__index_level_\d+__$",  # as pandas exports an index
    re.IGNORECASE,
)
GROUP_NAME = re.compile(
    r"customer|client|patient|subject|person|user|account|household|session|device|participant", re.IGNORECASE
)
FEW = 20  # up to this number of different values, a column makes groups, whatever their share
GROUPS = 0.5  # a text column with more different values than this share of its rows names rows, not groups
WORDS = 2  # mean number of spaces in a text from which on it is free text rather than a code


def role_of(column: pd.Series | Texts) -> DroppedColumn | None:
    """Why a column of the train rows is not learned from; None for a feature."""
    if isinstance(column, pd.Series) and is_text(column):
        column = texts_of(column)
    return _role_of_texts(column) if isinstance(column, Texts) else _role_of_numbers(column)


def _role_of_numbers(column: pd.Series) -> DroppedColumn | None:
    """The role of numbers and dates; slow checks come last."""
    name, present = str(column.name), column.dropna()
    if present.empty or present.min() == present.max():
        return _constant(name, present.iloc[:1].tolist())
    if pd.api.types.is_datetime64_any_dtype(column):
        return None
    counts = FEW < len(present) == len(column) and (ID_NAME.search(name) or _counts_up(present))
    if counts and (present == present.round()).all() and present.nunique() == len(column):
        return DroppedColumn(name=name, role="identifier", reason="every row has another whole number")
    if np.float32(present.min()) == np.float32(present.max()):
        reason = f"to 32-bit floating point its numbers are one; if they are names, set columns: {{{name}: category}}"
        return DroppedColumn(name=name, role="constant", reason=reason)
    return None


def _counts_up(present: pd.Series) -> bool:
    """Whether the values rise by about one a row. In a table sorted by them, others rise too, but by more."""
    return bool(present.is_monotonic_increasing and float(present.max()) - float(present.min()) < 2 * len(present))


def _role_of_texts(texts: Texts) -> DroppedColumn | None:
    name, n, distinct = texts.name, texts.present, texts.distinct
    if distinct < 2:
        return _constant(name, texts.counts.index.tolist())
    if distinct <= max(FEW, GROUPS * n):
        return None
    if texts.spaces >= WORDS:
        return DroppedColumn(name=name, role="text", reason=f"{distinct:,} different texts in {n:,} rows")
    return DroppedColumn(name=name, role="identifier", reason=f"{distinct:,} different values in {n:,} rows")


def _constant(name: str, values: list) -> DroppedColumn:
    seen = f"the one value {values[0]!r}" if values else "no value"
    return DroppedColumn(name=name, role="constant", reason=f"it has {seen} in the train rows")


def split_hints(table: pa.Table, source: Source) -> tuple[str, ...]:
    """Columns that call for a split by time or by group, and why, for the user's own data without such a split."""
    if not source.is_file or source.splits_by.by in ("time", "group", "column"):
        return ()
    hints = []
    for name in set(table.column_names) - {TARGET}:
        kind = table.schema.field(name).type
        if not (pa.types.is_temporal(kind) or ID_NAME.search(name) or GROUP_NAME.search(name)):
            continue
        present = table[name].drop_null()
        if pa.types.is_temporal(kind) and len(present.unique()) > FEW:
            hints.append(
                f"{name} holds dates: if the model is to predict later rows, split by time: "
                f"data.split: {{by: time, column: {name}}}"
            )
        elif ID_NAME.search(name) or GROUP_NAME.search(name):
            distinct = len(present.unique())
            if FEW < distinct <= GROUPS * len(present) and not pa.types.is_floating(kind):
                hints.append(
                    f"{name} has {distinct:,} values of {len(present) / distinct:.1f} rows each: if the model is to "
                    f"predict for others, split by group: data.split: {{by: group, column: {name}}}"
                )
    return tuple(sorted(hints))
