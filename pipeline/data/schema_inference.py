"""Infer a schema, with the constants that the graph needs, from the train split alone."""

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from contracts.encoding import date_parts, encode_target
from contracts.errors import UserError, nearest
from contracts.schema import (
    CategoricalFeature,
    DateFeature,
    DroppedColumn,
    Feature,
    ImageFeature,
    NumericFeature,
    Schema,
)
from contracts.settings.sections import Image, Source, Task
from pipeline.data import bins as edges
from pipeline.data.roles import role_of
from pipeline.data.targets import infer_target
from pipeline.tables import IMAGE, TARGET, column_to_images, date_format


def infer_schema(dataset: str, source: Source, train: pa.Table, raw_md5: str, bins: int = 0) -> Schema:
    """What the train split shows: features, their ranges and categories, columns without use, classes.

    Args:
        source: with its task, which preprocess adds where the settings leave it open.
        bins: intervals fitted for each number at most, or 0 for none.

    Raises:
        UserError: where no column is a feature, or the target does not fit the task.
    """
    task = source.task
    assert task is not None
    target = infer_target(source, task, train)
    if source.image is not None:
        feature, sample = _image(source.image, train)
        return Schema(
            dataset=dataset, raw_md5=raw_md5, task=task, features=(feature,), target=target, sample=sample,
            weight=source.weight,
        )  # fmt: skip
    frame = train.drop_columns([TARGET]).to_pandas()
    if source.weight is not None:
        _check_weights(frame, source.weight)
        frame = frame.drop(columns=source.weight)
    dropped = _dropped(frame, source)
    frame = frame.drop(columns=[column.name for column in dropped])
    if frame.empty:
        raise UserError("\n  ".join(["no column is left to learn from:", *(f"{c.name}: {c.reason}" for c in dropped)]))
    features = tuple(_feature(frame[name], date_format(train, str(name))) for name in frame)
    schema = Schema(
        dataset=dataset,
        raw_md5=raw_md5,
        task=task,
        features=features,
        target=target,
        sample=_sample(frame, features),
        weight=source.weight,
        dropped=dropped,
    )
    if not bins:
        return schema
    encoded = encode_target(schema, train[TARGET].to_pylist())
    return schema.model_copy(
        update={"features": tuple(_binned(f, frame, encoded, task, bins) for f in schema.features)}
    )


def _dropped(frame: pd.DataFrame, source: Source) -> tuple[DroppedColumn, ...]:
    """The columns that are not learned from. A file's are found; the settings have the last word."""
    if unknown := [name for name in source.columns if name not in frame]:
        problems = [
            f"data.columns: expected columns of the data, received {n!r}{nearest(n, map(str, frame))}" for n in unknown
        ]
        raise UserError("\n  ".join(problems))
    found = []
    for name in frame:
        role = source.columns.get(str(name))
        if role == "drop":
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


def _image(image: Image, train: pa.Table) -> tuple[ImageFeature, dict[str, Any]]:
    pixels = column_to_images(train[IMAGE], image.height, image.width)
    mean, std = _mean_and_std(pixels)
    feature = ImageFeature(
        name=IMAGE, height=image.height, width=image.width, maximum=image.maximum, mean=mean, std=std
    )
    return feature, {IMAGE: pixels[0].tolist()}


def _mean_and_std(pixels: np.ndarray) -> tuple[float, float]:
    """Of whole numbers, from how often each occurs: a copy of all pixels in 64 bits would fill the memory."""
    counts = np.bincount(pixels.reshape(-1))
    values = np.arange(len(counts))
    mean = np.average(values, weights=counts)
    return float(mean), float(np.sqrt(np.average((values - mean) ** 2, weights=counts))) or 1.0


def _binned(feature: Feature, frame: pd.DataFrame, target: np.ndarray, task: Task, bins: int) -> Feature:
    if isinstance(feature, DateFeature):
        dates = [None if pd.isna(value) else value.to_pydatetime() for value in frame[feature.name]]
        names = [part.name for part in feature.parts]
        parts = pd.DataFrame(dict(zip(names, date_parts(dates), strict=True)))
        binned = tuple(_binned(part, parts, target, task, bins) for part in feature.parts)
        return feature.model_copy(update={"parts": binned})
    if not isinstance(feature, NumericFeature):
        return feature
    values = frame[feature.name].to_numpy(np.float64)
    present = ~np.isnan(values)
    classes = task in ("multiclass", "binary")
    found = {
        "quantiles": edges.quantiles(values[present], bins),
        "tree_bins": edges.tree_bins(values[present], target[present], bins, classes),
    }
    return feature.model_copy(update=found)


def _check_weights(frame: pd.DataFrame, name: str) -> None:
    if name not in frame:
        raise UserError(
            f"catalog weight: expected a column of the data ({', '.join(map(str, frame))}), received {name!r}"
        )
    weights = frame[name]
    if not pd.api.types.is_numeric_dtype(weights) or not (weights >= 0).all() or not weights.sum() > 0:
        raise UserError(f"column {name!r}: expected weights, none missing or below 0 and not all 0")


def _feature(column: pd.Series, form: str = "") -> Feature:
    present = column.dropna()
    if present.empty:
        raise UserError(f"column {column.name!r}: expected values, received none in the train split")
    missing = len(present) < len(column)
    if pd.api.types.is_datetime64_any_dtype(column):
        parts = date_parts([None if pd.isna(value) else value.to_pydatetime() for value in column])
        names = [f"{column.name} {part}" for part in ("days", "month", "weekday")]
        numbers = [_feature(pd.Series(part, name=name)) for name, part in zip(names, parts, strict=True)]
        return DateFeature(name=str(column.name), format=form, missing=missing, parts=tuple(numbers))  # type: ignore[arg-type]
    if pd.api.types.is_bool_dtype(column) or not pd.api.types.is_numeric_dtype(column):
        return CategoricalFeature(
            name=str(column.name), categories=tuple(sorted(str(value) for value in present.unique())), missing=missing
        )
    values = present.to_numpy(np.float64)
    return NumericFeature(
        name=str(column.name),
        minimum=values.min(),
        maximum=values.max(),
        mean=values.mean(),
        std=values.std() or 1.0,  # a constant column is centred and left at that
        median=float(np.median(values)),
        missing=missing,
    )
