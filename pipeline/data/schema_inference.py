"""Infer a schema, with the constants that the graph needs, from the train split alone."""

from collections.abc import Callable, Iterable
from functools import cached_property, partial
from typing import Any, Literal, Protocol

import pandas as pd
import pyarrow as pa

from contracts.encoding import encode_target
from contracts.errors import UserError, nearest
from contracts.schema import (
    DateFeature,
    DroppedColumn,
    Feature,
    Schema,
    SplitUsed,
)
from contracts.settings.source import Source
from pipeline.data.features import infer_feature, infer_image, with_bins
from pipeline.data.roles import role_of
from pipeline.data.targets import infer_target
from pipeline.data.texts import Texts
from pipeline.tables import TARGET, date_format, text_form


class TrainRows(Protocol):
    """The train rows from which a schema is inferred: a table in memory, or a file whose columns are read one by one.

    `target` has only the column of the target. `sample` is a table of all rows, or of enough rows for the edges of
    bins.
    """

    schema: pa.Schema

    @property
    def target(self) -> pa.Table: ...

    @property
    def sample(self) -> pa.Table: ...

    def column(self, name: str, ordered: bool) -> pd.Series | Texts:
        """All values of a column; those of an ordered category as a series."""

    def head(self) -> pd.DataFrame:
        """The first rows, to find one without missing values."""

    def each(self, examine: Callable[[Any], Any], columns: Iterable[Any]) -> Iterable[Any]:
        """Like `map`, perhaps over several columns at once."""

    def each_elsewhere(self, examine: Callable[[Any], Any], columns: Iterable[Any]) -> Iterable[Any]:
        """The same, perhaps on other machines, without the sample."""


class Table:
    """Train rows in memory."""

    def __init__(self, rows: pa.Table) -> None:
        self.schema, self.sample = rows.schema, rows

    @property
    def target(self) -> pa.Table:
        return self.sample

    @cached_property
    def frame(self) -> pd.DataFrame:
        return self.sample.drop_columns([TARGET]).to_pandas()

    def column(self, name: str, ordered: bool) -> pd.Series:
        return self.frame[name]

    def head(self) -> pd.DataFrame:
        return self.frame

    def each(self, examine: Callable[[Any], Any], columns: Iterable[Any]) -> Iterable[Any]:
        return map(examine, columns)

    each_elsewhere = each


def infer_schema(
    dataset: str,
    source: Source,
    train: pa.Table | TrainRows,
    raw_md5: str,
    bins: int = 0,
    split_notes: tuple[str, ...] = (),
) -> Schema:
    """The schema of the train split: features, their ranges and categories, columns without use, classes.

    Args:
        source: with its task, which preprocess adds if the settings leave it open.
        bins: most intervals for each number, or 0 for none.
        split_notes: sentences for a person about the split that made these rows.

    Raises:
        UserError: if no column is a feature, or the target does not fit the task.
    """
    task = source.task
    assert task is not None
    rows = Table(train) if isinstance(train, pa.Table) else train
    target = infer_target(source, task, rows.target)
    split = SplitUsed(by=source.splits_by.by, column=source.splits_by.column, notes=split_notes)
    if source.image is not None:
        feature, sample = infer_image(source.image, rows.sample)
        return Schema(
            dataset=dataset, raw_md5=raw_md5, task=task, features=(feature,), target=target, sample=sample,
            weight=source.weight, split=split,
        )  # fmt: skip
    names = [name for name in rows.schema.names if name != TARGET]
    if source.weight is not None:
        _check_weights(rows, names, source.weight)
        names.remove(source.weight)
    _refuse_unknown(names, source)
    examined = list(rows.each_elsewhere(partial(_examine, rows, source), names))
    dropped = tuple(found for found in examined if isinstance(found, DroppedColumn))
    features = tuple(found for found in examined if not isinstance(found, DroppedColumn))
    if source.weight is not None:
        dropped += (DroppedColumn(name=source.weight, role="weight", reason="it is how much a row counts"),)
    if not features:
        raise UserError("\n  ".join(["no column is left to learn from:", *(f"{c.name}: {c.reason}" for c in dropped)]))
    schema = Schema(
        dataset=dataset,
        raw_md5=raw_md5,
        task=task,
        features=features,
        target=target,
        sample=_sample(rows.head()[[feature.name for feature in features]], features),
        weight=source.weight,
        dropped=dropped,
        text=text_form(rows.schema),
        split=split,
    )
    if not bins:
        return schema
    frame = rows.sample.select([feature.name for feature in features]).to_pandas()
    encoded = encode_target(schema, rows.sample[TARGET].to_pylist())
    binned = rows.each(lambda f: with_bins(f, frame, encoded, task, bins), features)
    return schema.model_copy(update={"features": tuple(binned)})


def _refuse_unknown(names: list[str], source: Source) -> None:
    if unknown := [name for name in source.columns if name not in names]:
        problems = [f"data.columns: expected columns of the data, received {n!r}{nearest(n, names)}" for n in unknown]
        raise UserError("\n  ".join(problems))


def _examine(rows: TrainRows, source: Source, name: str) -> Feature | DroppedColumn:
    """The feature of a column, or why it is left out. The settings have the last word."""
    role, split = source.columns.get(name), source.splits_by
    if role is None and split.column == name and split.by != "time":
        role_of_split: Literal["group", "split"] = "group" if split.by == "group" else "split"
        return DroppedColumn(name=name, role=role_of_split, reason="the rows are split by it")
    if role == "drop":
        return DroppedColumn(name=name, role="dropped", reason="the settings say so")
    column = rows.column(name, ordered=source.order_of(name) is not None)
    if role is None and source.is_file and (left_out := role_of(column)) is not None:
        return left_out
    return infer_feature(column, source, date_format(rows.schema, name))


def _sample(frame: pd.DataFrame, features: tuple[Feature, ...]) -> dict[str, Any]:
    """A row to try the model with; one without missing values if there is one."""
    complete = frame.dropna()
    row = (complete if len(complete) else frame).iloc[0]
    return {feature.name: _plain(feature, row[feature.name]) for feature in features}


def _plain(feature: Feature, value: Any) -> Any:
    if pd.isna(value):
        return None
    if isinstance(feature, DateFeature):
        return value.isoformat() if ":%M" in feature.format or len(feature.parts) > 3 else value.date().isoformat()
    return getattr(value, "item", lambda: value)()


def _check_weights(rows: TrainRows, names: list[str], name: str) -> None:
    if name not in names:
        raise UserError(f"catalog weight: expected a column of the data ({', '.join(names)}), received {name!r}")
    weights = rows.column(name, ordered=True)
    assert isinstance(weights, pd.Series)
    if not pd.api.types.is_numeric_dtype(weights) or not (weights >= 0).all() or not weights.sum() > 0:
        raise UserError(f"column {name!r}: expected weights, none missing or below 0 and not all 0")
