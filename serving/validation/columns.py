"""The values of one feature, checked against the schema."""

from collections.abc import Callable
from datetime import date
from typing import Any

import numpy as np

from contracts.encoding import Repeated, parse_date
from contracts.schema import CategoricalFeature, DateFeature, Feature, NumericFeature
from serving.errors import FieldError, json_type

FLOAT32_MAX = float(np.finfo(np.float32).max)
NUMBERS = {int, float}
PathOf = Callable[[int, str], str]  # gives the path of a value in the request, from its row number and feature name
ABSENT = object()  # stands for a value that its row does not have
REPORTED = object()  # stands for a value that is already among the errors


def check_column(feature: Feature, values: Any, path_of: PathOf, errors: list[FieldError]) -> Any:
    """The values, numbers as float64; appends an error for each value that the feature cannot have.

    Args:
        values: a sequence of n_rows values, an array in which NaN is a missing number, or `Repeated`.
    """
    if isinstance(values, Repeated):
        found: list[FieldError] = []
        different = check_column(feature, values.values, path_of, found)
        if not found:
            return Repeated(different, values.positions)
        values = [values.values[position] for position in values.positions]
    if isinstance(feature, NumericFeature):
        array = _numbers(feature, values)
        if array is not None:
            return array
    elif isinstance(feature, CategoricalFeature):
        if set(map(type, values)) <= _text_types(feature):
            return values
        values = [_as_category(feature, value) for value in values]
    elif isinstance(feature, DateFeature) and _are_moments(feature, values):
        return values
    for row, value in enumerate(values):
        mismatch = _mismatch(feature, value)
        if mismatch is not None:
            errors.append(FieldError(path_of(row, feature.name), *mismatch))
    return values


def _are_moments(feature: DateFeature, values: Any) -> bool:
    """Whether the values are an array of datetime64 without a gap that the feature cannot have."""
    is_array = isinstance(values, np.ndarray) and values.dtype.kind == "M"
    return is_array and (feature.missing or not np.isnat(values).any())


def _text_types(feature: CategoricalFeature) -> set[type]:
    return {str, type(None)} if feature.missing else {str}


def _as_category(feature: CategoricalFeature, value: Any) -> Any:
    """A truth value or a number as the category that is written in the same way, if there is one."""
    value = value.item() if isinstance(value, np.generic) else value
    if type(value) is float and value != value:
        return None
    if type(value) is bool:
        texts = [str(value), str(value).lower(), str(value).upper()]
    elif type(value) is int:
        texts = [str(value)]
    elif type(value) is float:
        texts = spellings(value)
    else:
        return value
    return next((text for text in texts if text in feature.categories), value)


def spellings(number: float) -> list[str]:
    """The texts that a number may have in files: 12 for 12.0; 1.5; 0.00001 and 1.2e+10, as Arrow writes them."""
    whole = [str(int(number))] if abs(number) < 2**53 and number == int(number) else []
    plain = np.format_float_positional(number, trim="-")
    return [*whole, repr(number), plain, np.format_float_scientific(number, trim="-", exp_digits=1)]


def fits_float32(matrix: np.ndarray) -> bool:
    """Whether every value is a number that float32 can hold."""
    return bool((np.abs(matrix) <= FLOAT32_MAX).all())


def warning_limits(feature: NumericFeature | CategoricalFeature) -> tuple[float, float]:
    """Numbers outside these limits get a warning: their distance from the training range is larger than its width."""
    if not isinstance(feature, NumericFeature):
        return -np.inf, np.inf
    width = feature.maximum - feature.minimum
    return feature.minimum - width, feature.maximum + width


def warn_outside(feature: Feature, column: NumericFeature) -> str:
    """What to say of a number far outside the training range; the days of a date are said as dates.

    Args:
        column: of the feature's columns that with the number.
    """
    low, high, part = f"{column.minimum:g}", f"{column.maximum:g}", ""
    if isinstance(feature, DateFeature) and column is feature.parts[0]:
        low, high = (str(np.datetime64(int(end), "D")) for end in (column.minimum, column.maximum))
    elif isinstance(feature, DateFeature):
        part = f"its {column.name.removeprefix(feature.name).strip()} is "
    return f"{part}far outside the {low} to {high} of training"


def _numbers(feature: NumericFeature, values: Any) -> np.ndarray | None:
    """The column as float64, or None if a value is invalid."""
    if not isinstance(values, np.ndarray):
        if not set(map(type, values)) <= (NUMBERS | {type(None)} if feature.missing else NUMBERS):
            return None
        values = np.array(values, dtype=np.float64)
    elif values.dtype.kind not in "iuf":
        return None
    in_range = np.abs(values) <= FLOAT32_MAX
    if feature.missing:
        in_range |= np.isnan(values)
    return values if in_range.all() else None


def _mismatch(feature: Feature, value: Any) -> tuple[str, str] | None:
    """What was expected and what was received, for an invalid value."""
    expected = "a number" if isinstance(feature, NumericFeature) else "a string"
    if isinstance(feature, DateFeature):
        expected = f"a date, as {feature.format} or ISO 8601"
    if value is REPORTED:
        return None
    if value is ABSENT:
        return f"{expected}, or null" if getattr(feature, "missing", False) else expected, "no value"
    value = value.item() if isinstance(value, np.generic) else value
    if value is None or value != value:
        allowed = not isinstance(feature, NumericFeature | CategoricalFeature | DateFeature) or feature.missing
        return None if allowed else (f"{expected} (training saw none missing)", "null" if value is None else "NaN")
    if isinstance(feature, DateFeature):
        return _date_mismatch(feature, value, expected)
    if isinstance(feature, CategoricalFeature):
        return None if isinstance(value, str) else (expected, json_type(value))
    if type(value) not in NUMBERS:
        return expected, json_type(value)
    if abs(value) > FLOAT32_MAX:
        return "a number that fits 32-bit floating point", "a larger one"
    return None


def _date_mismatch(feature: DateFeature, value: Any, expected: str) -> tuple[str, str] | None:
    if isinstance(value, date):  # a value of a Parquet file
        return None
    if not isinstance(value, str):
        return expected, json_type(value)
    try:
        parse_date(value, feature.format)
    except (ValueError, OverflowError):
        return expected, "another text"
    return None
