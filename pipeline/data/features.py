"""A column of the train rows as a feature, with the constants that the graph needs."""

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from contracts.encoding import UNKNOWN, date_parts
from contracts.errors import UserError
from contracts.schema import CategoricalFeature, DateFeature, Feature, ImageFeature, NumericFeature
from contracts.settings.source import Image, Source, Task
from pipeline.data import bins as edges
from pipeline.data.texts import Texts, is_text, texts_of
from pipeline.tables import IMAGE, column_to_images

DATE_PARTS = ("days", "month", "weekday", "hour")


def infer_feature(column: pd.Series | Texts, source: Source, form: str = "") -> Feature:
    """The feature for a column of the train rows.

    Args:
        source: with the values of ordered categories, and the number of categories that have a code.
        form: in which the source writes dates.
    """
    name = str(column.name)
    if isinstance(column, Texts) or (source.order_of(name) is None and is_text(column)):
        return _infer_category(column if isinstance(column, Texts) else texts_of(column), source)
    present = column.dropna()
    if present.empty:
        raise UserError(f"column {name!r}: expected values, received none in the train split")
    missing = len(present) < len(column)
    if pd.api.types.is_datetime64_any_dtype(column):
        parts = dict(zip(DATE_PARTS, date_parts(column.to_numpy("datetime64[s]")), strict=True))
        if np.nanmin(parts["hour"]) == np.nanmax(parts["hour"]):  # these are days
            del parts["hour"]
        numbers = [infer_feature(pd.Series(part, name=f"{name} {of}"), source) for of, part in parts.items()]
        return DateFeature(name=name, format=form, missing=missing, parts=tuple(numbers))  # type: ignore[arg-type]
    if (order := source.order_of(name)) is not None:
        rank = infer_feature(_ranks(column, order), source.model_copy(update={"columns": {}}))
        assert isinstance(rank, NumericFeature)
        return CategoricalFeature(name=name, categories=order, missing=missing, rank=rank)
    values = present.to_numpy(np.float64)
    return NumericFeature(
        name=name,
        minimum=values.min(),
        maximum=values.max(),
        mean=values.mean(),
        std=values.std() or 1.0,  # a constant column is only centred
        median=float(np.median(values)),
        missing=missing,
        quartiles=tuple(np.quantile(values, [0.25, 0.75]).tolist()),
    )


def _infer_category(texts: Texts, source: Source) -> CategoricalFeature:
    if not texts.present:
        raise UserError(f"column {texts.name!r}: expected values, received none in the train split")
    kept = texts.counts.sort_index().nlargest(source.max_categories)  # of equal counts the first in the alphabet
    return CategoricalFeature(
        name=texts.name, categories=tuple(sorted(kept.index)), missing=texts.present < texts.rows,
        rare=texts.distinct - len(kept),
    )  # fmt: skip


def with_bins(feature: Feature, frame: pd.DataFrame, target: np.ndarray, task: Task, bins: int) -> Feature:
    """The feature with the edges of at most `bins` intervals for each of its numbers."""
    if isinstance(feature, DateFeature):
        names = [part.name for part in feature.parts]
        dates = date_parts(frame[feature.name].to_numpy("datetime64[s]"))
        parts = pd.DataFrame(dict(zip(names, dates, strict=False)))
        binned = tuple(with_bins(part, parts, target, task, bins) for part in feature.parts)
        return feature.model_copy(update={"parts": binned})
    if isinstance(feature, CategoricalFeature) and feature.rank is not None:
        ranks = pd.DataFrame({feature.name: _ranks(frame[feature.name], feature.categories)})
        return feature.model_copy(update={"rank": with_bins(feature.rank, ranks, target, task, bins)})
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


def infer_image(image: Image, train: pa.Table) -> tuple[ImageFeature, dict[str, Any]]:
    """The feature that a column of images is, and the first image as a sample."""
    pixels = column_to_images(train[IMAGE], image.height, image.width)
    mean, std = _mean_and_std(pixels)
    feature = ImageFeature(
        name=IMAGE, height=image.height, width=image.width, maximum=image.maximum, mean=mean, std=std
    )
    return feature, {IMAGE: pixels[0].tolist()}


def _ranks(column: pd.Series, order: tuple[str, ...]) -> pd.Series:
    """The code of each value of an ordered category, NaN where it is missing."""
    return column.astype("object").map({value: code for code, value in enumerate(order, UNKNOWN + 1)}).astype(float)


def _mean_and_std(pixels: np.ndarray) -> tuple[float, float]:
    """Mean and standard deviation of whole numbers, from their counts: a copy of all pixels in 64 bits would fill the
    memory.
    """
    counts = np.bincount(pixels.reshape(-1))
    values = np.arange(len(counts))
    mean = np.average(values, weights=counts)
    return float(mean), float(np.sqrt(np.average((values - mean) ** 2, weights=counts))) or 1.0
