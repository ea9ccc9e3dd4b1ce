"""The texts of a column, with their counts. Roles and categories depend on nothing else."""

from dataclasses import dataclass

import pandas as pd


@dataclass(frozen=True)
class Texts:
    """A column of text in the train rows.

    `counts` holds every value, or only frequent ones if there are too many; `distinct` counts all values.
    `spaces` is the mean number of blanks in a value.
    """

    name: str
    rows: int
    present: int
    counts: pd.Series
    distinct: int
    spaces: float


def is_text(column: pd.Series) -> bool:
    """Whether a column holds neither numbers nor dates."""
    types = pd.api.types
    return types.is_bool_dtype(column) or not (types.is_numeric_dtype(column) or types.is_datetime64_any_dtype(column))


def texts_of(column: pd.Series) -> Texts:
    """The texts of a column in memory."""
    counts = column.dropna().astype(str).value_counts()
    present = int(counts.sum())
    return Texts(str(column.name), len(column), present, counts, len(counts), count_spaces(counts) / max(present, 1))


def count_spaces(counts: pd.Series) -> int:
    """The blanks in all values together."""
    return int((counts.index.to_series().str.count(r"\s").to_numpy() * counts.to_numpy()).sum()) if len(counts) else 0
