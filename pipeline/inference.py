"""Infer a schema, with the constants that the graph needs, from the train split alone."""

import numpy as np
import pandas as pd
import pyarrow as pa

from pipeline.errors import UserError
from pipeline.params import Source
from pipeline.schema import (
    CategoricalFeature,
    ClassTarget,
    Feature,
    ImageFeature,
    NumericFeature,
    NumericTarget,
    Schema,
)
from pipeline.splits import IMAGE, TARGET, column_to_images


def infer_schema(dataset: str, source: Source, train: pa.Table, raw_md5: str) -> Schema:
    """What the train split shows: kinds, ranges, categories, classes and their constants.

    Raises:
        UserError: where a column cannot be a feature, or the target does not fit the task.
    """
    features: tuple[Feature, ...]
    if source.image is not None:
        image = source.image
        features = (ImageFeature(name=IMAGE, height=image.height, width=image.width, maximum=image.maximum),)
        first = column_to_images(train[IMAGE].slice(0, 1), image.height, image.width)
        sample = {IMAGE: first[0].tolist()}
    else:
        frame = train.drop_columns([TARGET]).to_pandas()
        features = tuple(_feature(frame[name]) for name in frame)
        complete = frame.dropna()
        row = (complete if len(complete) else frame).iloc[0]
        sample = {
            name: None if pd.isna(value) else getattr(value, "item", lambda v=value: v)() for name, value in row.items()
        }
    return Schema(
        dataset=dataset,
        raw_md5=raw_md5,
        task=source.task,
        features=features,
        target=_target(source, train),
        sample=sample,
    )


def _feature(column: pd.Series) -> Feature:
    present = column.dropna()
    if present.empty:
        raise UserError(f"column {column.name!r}: expected values, received none in the train split")
    missing = len(present) < len(column)
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


def _target(source: Source, train: pa.Table) -> ClassTarget | NumericTarget:
    values = train[TARGET].to_pandas()
    name = source.target or TARGET
    if values.isna().any():
        raise UserError(f"target {name!r}: expected a value in every row, received {int(values.isna().sum())} missing")
    if source.task == "regression":
        if not pd.api.types.is_numeric_dtype(values):
            raise UserError(f"target {name!r}: expected numbers for a regression, received {values.iloc[0]!r}")
        return NumericTarget(name=name, mean=float(values.mean()), std=float(values.std(ddof=0)) or 1.0)
    counts = values.astype(str).value_counts()
    classes = source.classes or tuple(sorted(counts.index))
    if (source.task == "binary" and len(classes) != 2) or len(classes) < 2:
        raise UserError(
            f"target {name!r}: expected {'2 classes' if source.task == 'binary' else '2 classes or more'}"
            f" for the task {source.task}, received {len(classes)}"
        )
    return ClassTarget(
        name=name, classes=classes, frequencies=tuple(float(counts.get(c, 0)) / len(values) for c in classes)
    )
