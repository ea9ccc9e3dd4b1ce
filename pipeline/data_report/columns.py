"""The columns of a dataset as arrays in every part, with their kinds and roles."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import pandas as pd
import pyarrow as pa

from contracts.schema import CategoricalFeature, Schema
from pipeline.tables import TARGET

Kind = Literal["number", "date", "category", "text"]


@dataclass(frozen=True)
class Column:
    """A column in every part, train first: float64 with NaN, days since 1970 for a date; else text with None. `role` is
    `feature`, `weight`, or the role for which it is left out, with the `reason`.
    """

    name: str
    kind: Kind
    role: str
    reason: str
    parts: Mapping[str, np.ndarray]

    @property
    def is_number(self) -> bool:
        return self.kind in ("number", "date")

    @property
    def is_feature(self) -> bool:
        return self.role == "feature"

    @cached_property
    def train(self) -> np.ndarray:
        return next(iter(self.parts.values()))

    @cached_property
    def counts(self) -> pd.Series:
        """How often each value occurs in train, the most frequent first."""
        return pd.Series(self.train).value_counts()

    @cached_property
    def missing(self) -> dict[str, float]:
        """The share of missing values in each part."""
        return {name: float(pd.isna(values).mean()) if len(values) else 0.0 for name, values in self.parts.items()}

    @cached_property
    def whole(self) -> bool:
        """Whether every number of train is a whole one."""
        present = self.train[~np.isnan(self.train)] if self.kind == "number" else np.array([0.5])
        return bool((present == np.round(present)).all())


def read_columns(schema: Schema, parts: Mapping[str, pa.Table]) -> list[Column]:
    """Every column but the target, in the order of the data."""
    dropped = {column.name: column for column in schema.dropped}
    categories = {feature.name for feature in schema.features if isinstance(feature, CategoricalFeature)}
    columns = []
    for field in next(iter(parts.values())).schema:
        if field.name == TARGET:
            continue
        values = {part: _values(table[field.name]) for part, table in parts.items()}
        kind: Kind = "category" if field.name in categories else "text"
        if next(iter(values.values())).dtype.kind == "f":
            kind = "date" if pa.types.is_temporal(field.type) else "number"
        why = dropped.get(field.name)
        role = "weight" if field.name == schema.weight else why.role if why else "feature"
        columns.append(Column(field.name, kind, role, why.reason if why else "", values))
    return columns


def _values(column: pa.ChunkedArray) -> np.ndarray:
    kind = column.type
    if pa.types.is_temporal(kind):
        days = column.cast(pa.timestamp("s"), safe=False).cast(pa.int64()).cast(pa.float64(), safe=False)
        return days.to_numpy() / 86_400
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return column.cast(pa.float64(), safe=False).to_numpy()
    return column.cast(pa.string()).to_pandas().astype(object).to_numpy()
