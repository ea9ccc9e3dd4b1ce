"""Rows to numbers: the only preprocessing outside the Keras graph, shared by training and serving."""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from contracts.schema import CategoricalFeature, ClassTarget, DateFeature, Feature, NumericTarget, Schema

UNKNOWN = 0  # the code of a category that is missing or absent from the train split
AFTER_SECONDS = r"(\.\d+)?( ?(Z|UTC|GMT|[+-]\d{2}:?\d{2}))?$"  # fractions of a second and a time zone in a text


class Repeated(NamedTuple):
    """A column as its different values, and the position of each row's value among them, so that each value is encoded
    once.
    """

    values: Sequence[Any]
    positions: np.ndarray


def encode(schema: Schema, columns: Mapping[str, Any]) -> np.ndarray:
    """Turn columns into the input of the network: numbers unchanged, categories as codes, which are NaN for
    an ordered category that is missing or unknown.

    Args:
        columns: the values of each feature, for example a DataFrame: array-like of shape (n_rows,), None or NaN
            where a value is missing, or `Repeated`; for an image of shape (n_rows, height, width).

    Returns:
        float32 array of shape (n_rows, input_width), NaN where a number is missing.
    """
    if schema.image is not None:
        return np.asarray(columns[schema.image.name], dtype=np.float32).reshape(-1, schema.input_width)
    encoded = [column for feature in schema.features for column in _columns(feature, columns[feature.name])]
    return np.stack(encoded, axis=1)


def predictions_of(schema: Schema, outputs: np.ndarray) -> np.ndarray:
    """The outputs of a network, (n_rows, n_outputs), as metrics take them: class probabilities of shape
    (n_rows, n_classes), the values of one number or its medians of shape (n_rows,), or (n_rows, n_outputs) for labels
    and several numbers.
    """
    if isinstance(schema.target, NumericTarget):
        return outputs[:, schema.levels.index(0.5) if schema.levels else 0]
    if schema.task == "binary":
        return np.concatenate([1 - outputs, outputs], axis=1)
    return outputs


def answer_names(schema: Schema) -> tuple[str, ...]:
    """The names of the numbers of an answer: those of `schema.outputs`, then `Q(level)` of each quantile."""
    return (*schema.outputs, *(f"Q({level})" for level in schema.levels))


def answer(schema: Schema, outputs: np.ndarray) -> np.ndarray:
    """The outputs of a network as the numbers of an answer: shape (n_rows, n_names), in the order of `answer_names`."""
    predictions = predictions_of(schema, outputs).reshape(len(outputs), len(schema.outputs))
    return np.concatenate([predictions, outputs], axis=1) if schema.levels else predictions


def decide(probabilities: np.ndarray, threshold: float | None) -> np.ndarray:
    """The code of the class that is predicted for each row, shape (n_rows,).

    Args:
        probabilities: shape (n_rows, n_classes).
        threshold: probability from which on the second of two classes is predicted; None for the most probable class.
    """
    if threshold is None:
        return probabilities.argmax(axis=1)
    return (probabilities[:, 1] >= threshold).astype(np.int64)


def _columns(feature: Feature, values: Any) -> list[np.ndarray]:
    if isinstance(values, Repeated):
        return [column[values.positions] for column in _columns(feature, values.values)]
    if isinstance(feature, CategoricalFeature):
        codes = _codes(feature, values)
        return [codes if feature.rank is None else np.where(codes == UNKNOWN, np.float32(np.nan), codes)]
    if isinstance(feature, DateFeature):
        if not (isinstance(values, np.ndarray) and values.dtype.kind == "M"):
            values = [parse_date(value, feature.format) for value in values]
        return date_parts(values)[: len(feature.parts)]
    return [np.asarray(values, dtype=np.float32)]


def date_parts(dates: Sequence[datetime | None] | np.ndarray) -> list[np.ndarray]:
    """Days since 1970, month, day of the week and hour: float32 of shape (n_rows,), NaN where a date is missing.

    Args:
        dates: a sequence, or an array of datetime64.
    """
    if not isinstance(dates, np.ndarray):
        dates = np.array([np.datetime64("NaT") if date is None else date for date in dates], dtype="datetime64[s]")
    moments = dates.astype("datetime64[s]")
    days = moments.astype("datetime64[D]")
    since = days.astype(np.float64)
    months = days.astype("datetime64[M]").astype(np.float64) % 12 + 1
    # 1970-01-01 was a Thursday.
    parts = [moments.astype(np.float64) / 86_400, months, (since + 3) % 7, (moments - days).astype(np.float64) / 3600]
    return [np.where(np.isnat(moments), np.nan, part).astype(np.float32) for part in parts]


def parse_date(value: Any, form: str) -> datetime | None:
    """A date from text in ISO 8601 or in a format of `strptime`; fractions of a second and a time zone may follow, and
    are ignored. None is a missing date.

    Raises:
        ValueError: for text that is neither.
    """
    if value is None or value != value:
        return None
    if isinstance(value, datetime):
        return value.replace(tzinfo=None)
    return _parse_text(value, form)


@lru_cache(maxsize=2**15)
def _parse_text(value: str, form: str) -> datetime:
    """Cached, because `strptime` takes 10 µs, and each date is read twice: to be checked, and to be encoded."""
    try:
        return datetime.fromisoformat(value).replace(tzinfo=None)
    except ValueError:
        return datetime.strptime(re.sub(AFTER_SECONDS, "", value) if form.endswith("%S") else value, form)


def encode_target(schema: Schema, values: Sequence[Any] | np.ndarray) -> np.ndarray:
    """Class names as int32 codes, or numbers as float32; both of shape (n_rows,).

    For labels and several numbers `values` has a mapping per row; the result is float32 of shape (n_rows, n_outputs).
    """
    if isinstance(schema.target, NumericTarget):
        return np.asarray(values, dtype=np.float32)
    if not isinstance(schema.target, ClassTarget):
        return np.array([[row[name] for name in schema.outputs] for row in values], dtype=np.float32)
    code_of = {name: code for code, name in enumerate(schema.target.classes)}
    return np.fromiter((code_of[value] for value in values), dtype=np.int32, count=len(values))


def _codes(feature: CategoricalFeature, values: Sequence[Any]) -> np.ndarray:
    code_of = _code_of(feature.categories)
    return np.fromiter((code_of.get(value, UNKNOWN) for value in values), dtype=np.float32, count=len(values))


@lru_cache
def _code_of(categories: tuple[str, ...]) -> dict[str, int]:
    """The code of each category, and of true and false in each spelling: files of one table write True and true.

    Cached, because making 100,000 codes takes longer than a request.
    """
    codes = {category: code for code, category in enumerate(categories, start=UNKNOWN + 1)}
    if {category.lower() for category in categories} <= {"false", "true"}:
        spellings = {text: code for name, code in codes.items() for text in (name.lower(), name.upper(), name.title())}
        return spellings | codes
    return codes
