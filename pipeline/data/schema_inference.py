"""Infer a schema, with the constants that the graph needs, from the train split alone."""

from typing import Any, Literal

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
from pipeline.tables import TARGET, date_format, text_form


def infer_schema(
    dataset: str, source: Source, train: pa.Table, raw_md5: str, bins: int = 0, split_notes: tuple[str, ...] = ()
) -> Schema:
    """What the train split shows: features, their ranges and categories, columns without use, classes.

    Args:
        source: with its task, which preprocess adds where the settings leave it open.
        bins: intervals fitted for each number at most, or 0 for none.
        split_notes: what a person should know about the split that made these rows.

    Raises:
        UserError: where no column is a feature, or the target does not fit the task.
    """
    task = source.task
    assert task is not None
    target = infer_target(source, task, train)
    split = SplitUsed(by=source.splits_by.by, column=source.splits_by.column, notes=split_notes)
    if source.image is not None:
        feature, sample = infer_image(source.image, train)
        return Schema(
            dataset=dataset, raw_md5=raw_md5, task=task, features=(feature,), target=target, sample=sample,
            weight=source.weight, split=split,
        )  # fmt: skip
    frame = train.drop_columns([TARGET]).to_pandas()
    if source.weight is not None:
        _check_weights(frame, source.weight)
        frame = frame.drop(columns=source.weight)
    dropped = _dropped(frame, source)
    frame = frame.drop(columns=[column.name for column in dropped])
    if source.weight is not None:
        dropped += (DroppedColumn(name=source.weight, role="weight", reason="it is how much a row counts"),)
    if frame.empty:
        raise UserError("\n  ".join(["no column is left to learn from:", *(f"{c.name}: {c.reason}" for c in dropped)]))
    features = tuple(infer_feature(frame[name], source, date_format(train, str(name))) for name in frame)
    schema = Schema(
        dataset=dataset,
        raw_md5=raw_md5,
        task=task,
        features=features,
        target=target,
        sample=_sample(frame, features),
        weight=source.weight,
        dropped=dropped,
        text=text_form(train),
        split=split,
    )
    if not bins:
        return schema
    encoded = encode_target(schema, train[TARGET].to_pylist())
    return schema.model_copy(
        update={"features": tuple(with_bins(f, frame, encoded, task, bins) for f in schema.features)}
    )


def _dropped(frame: pd.DataFrame, source: Source) -> tuple[DroppedColumn, ...]:
    """The columns that are not learned from. A file's are found; the settings have the last word."""
    if unknown := [name for name in source.columns if name not in frame]:
        problems = [
            f"data.columns: expected columns of the data, received {n!r}{nearest(n, map(str, frame))}" for n in unknown
        ]
        raise UserError("\n  ".join(problems))
    found, split = [], source.splits_by
    for name in frame:
        role = source.columns.get(str(name))
        if role is None and split.column == name and split.by != "time":
            role_of_split: Literal["group", "split"] = "group" if split.by == "group" else "split"
            found.append(DroppedColumn(name=str(name), role=role_of_split, reason="the rows are split by it"))
        elif role == "drop":
            found.append(DroppedColumn(name=str(name), role="dropped", reason="the settings say so"))
        elif role is None and source.is_file and (column := role_of(frame[name])) is not None:
            found.append(column)
    return tuple(found)


def _sample(frame: pd.DataFrame, features: tuple[Feature, ...]) -> dict[str, Any]:
    """A row to try the model with, without missing values where there is one."""
    complete = frame.dropna()
    row = (complete if len(complete) else frame).iloc[0]
    return {feature.name: _plain(feature, row[feature.name]) for feature in features}


def _plain(feature: Feature, value: Any) -> Any:
    if pd.isna(value):
        return None
    if isinstance(feature, DateFeature):
        return value.isoformat() if "%H" in feature.format else value.date().isoformat()
    return getattr(value, "item", lambda: value)()


def _check_weights(frame: pd.DataFrame, name: str) -> None:
    if name not in frame:
        raise UserError(
            f"catalog weight: expected a column of the data ({', '.join(map(str, frame))}), received {name!r}"
        )
    weights = frame[name]
    if not pd.api.types.is_numeric_dtype(weights) or not (weights >= 0).all() or not weights.sum() > 0:
        raise UserError(f"column {name!r}: expected weights, none missing or below 0 and not all 0")
