"""Groups of rows: those of a setting, and those among which the worst is searched."""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pandas as pd

from contracts.schema import CategoricalFeature, NumericFeature, Schema
from contracts.settings.gates import Slice

PARTS = 4  # parts of the numbers of a column, with about equal numbers of rows


def rows_of(group: Slice, column: pd.Series) -> np.ndarray:
    """The rows in the group, bool of shape (n_rows,)."""
    if group.low is None and group.high is None:
        missing = column.isna().to_numpy()
        same = (column == group.value) | (column.astype(str) == str(group.value))
        return missing if group.value is None else np.asarray(same.fillna(False), dtype=bool) & ~missing
    numbers = pd.to_numeric(column, errors="coerce").to_numpy(dtype=float, na_value=np.nan)
    low = -np.inf if group.low is None else group.low
    return (numbers >= low) & (numbers < (np.inf if group.high is None else group.high))


def groups_of(schema: Schema, frame: pd.DataFrame, at_least: int) -> Iterator[tuple[str, np.ndarray]]:
    """The name and the rows of each category, of each quarter of the numbers, and of missing values, by feature."""
    for feature in schema.features:
        if not isinstance(feature, CategoricalFeature | NumericFeature):
            continue
        column = frame[feature.name]
        found = {f"{feature.name} is missing": column.isna().to_numpy()}
        if isinstance(feature, CategoricalFeature):
            found |= {f"{feature.name} = {c}": (column == c).to_numpy(dtype=bool) for c in feature.categories}
        else:
            numbers = column.to_numpy(dtype=float, na_value=np.nan)
            known = numbers[~np.isnan(numbers)]
            edges = np.unique(np.quantile(known, np.linspace(0, 1, PARTS + 1))) if len(known) else known
            for number, (low, high) in enumerate(pairwise(edges), 2):
                last = number == len(edges)
                inside = (numbers >= low) & ((numbers <= high) if last else (numbers < high))
                found[f"{low:g} ≤ {feature.name} {'≤' if last else '<'} {high:g}"] = inside
        yield from ((name, rows) for name, rows in found.items() if rows.sum() >= at_least)
