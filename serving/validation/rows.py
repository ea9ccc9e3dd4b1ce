"""What a request asks about, checked against the schema and encoded. Everything that is wrong, in one answer."""

from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple

import numpy as np

from contracts.encoding import UNKNOWN, encode
from contracts.schema import CategoricalFeature, Feature, NumericFeature, Schema
from serving.errors import Problem, Wrong, kind, refuse, shown
from serving.validation.images import image_array, image_rows

FLOAT32_MAX = float(np.finfo(np.float32).max)
NUMBERS = {int, float}
Where = Callable[[int, str], str]  # the place of a value in the request, from its row and feature
ABSENT = object()  # stands where a row has no value at all
SKIP = object()  # stands in a row that was already complained about


class Warned(NamedTuple):
    """Something odd that was answered all the same. `kind` is the label in /metrics."""

    path: str
    kind: str
    message: str


class Rows(NamedTuple):
    """Encoded rows, float32 of shape (n_rows, schema.input_width), and what is odd about them."""

    encoded: np.ndarray
    warnings: list[Warned]


class Door:
    """Lets a dataset's rows in.

    Args:
        max_rows: rows in one request.
    """

    def __init__(self, schema: Schema, max_rows: int) -> None:
        self.schema, self.max_rows = schema, max_rows
        self.names = tuple(feature.name for feature in schema.features)
        # Nested as deep as any protocol has it: a list for each line of an image, or for each value.
        parts = self.schema.image.height if self.schema.image else len(self.names)
        self.max_lists = 1000 + max_rows * (parts + 2)
        self._known = frozenset(self.names)
        self._numeric = all(isinstance(feature, NumericFeature) for feature in schema.features)
        limits = [_far(feature) for feature in schema.features]
        self._low, self._high = np.array(limits, dtype=np.float32).T

    def instances(self, instances: Any, path: str) -> Rows:
        """Rows by feature name, rows in the schema's order, or images; `path` says where they are."""
        if isinstance(instances, np.ndarray):
            if (rows := self._array(instances, path)) is not None:
                return rows
            instances = instances.tolist()  # for the complaints
        if not isinstance(instances, list):
            raise refuse(Wrong(path, "a list of instances", kind(instances)))
        self.check_count(len(instances))
        if self.schema.image is not None:
            return Rows(image_rows(self.schema.image, instances, path), [])
        errors: list[Wrong] = []
        table = [self._row(row, f"{path}[{number}]", errors) for number, row in enumerate(instances)]
        return self.table(table, _at(path), errors)

    def _array(self, instances: np.ndarray, path: str) -> Rows | None:
        """Rows or images that came as one array, where all of it is right."""
        self.check_count(len(instances))
        if self.schema.image is not None:
            images = image_array(self.schema.image, instances)
            return None if images is None else Rows(images, [])
        if not self._numeric or instances.shape[1:] != (len(self.names),) or not _fits(instances):
            return None
        return self._encode(dict(zip(self.names, instances.T, strict=True)), _at(path))

    def table(self, table: Sequence[Sequence[Any]], where: Where, errors: list[Wrong]) -> Rows:
        """Rows in the schema's order; `errors` are those that were found before."""
        if not errors and self._numeric:
            flat = list(chain.from_iterable(table))
            if set(map(type, flat)) <= NUMBERS:
                matrix = np.fromiter(flat, np.float64, len(flat)).reshape(len(table), len(self.names))
                if _fits(matrix):
                    return self._encode(dict(zip(self.names, matrix.T, strict=True)), where)
        columns = zip(*table, strict=True) if table else [()] * len(self.names)
        return self.columns(dict(zip(self.names, columns, strict=True)), where, errors)

    def columns(self, columns: Mapping[str, Any], where: Where, errors: list[Wrong]) -> Rows:
        """Every feature's values: sequences, or arrays in which NaN is a missing number."""
        checked = {
            feature.name: _column(feature, columns[feature.name], where, errors) for feature in self.schema.features
        }
        if errors:
            raise refuse(*errors)
        return self._encode(checked, where)

    def check_count(self, n_rows: int) -> None:
        """Refuse more rows than one request may have."""
        if n_rows > self.max_rows:
            raise Problem(413, f"expected at most {self.max_rows} rows in a request, received {n_rows}")

    def _row(self, row: Any, path: str, errors: list[Wrong]) -> Sequence[Any]:
        """The values in the schema's order."""
        if type(row) is dict:
            if row.keys() == self._known:
                return [row[name] for name in self.names]
            for name in row.keys() - self._known:
                errors.append(Wrong(f"{path}[{shown(name)}]", f"a feature: {', '.join(self.names)}", "an unknown one"))
            return [row.get(name, ABSENT) for name in self.names]
        if type(row) is list and len(row) == len(self.names):
            return row
        received = f"{len(row)} values" if isinstance(row, list) else kind(row)
        errors.append(Wrong(path, f"a value for each of the {len(self.names)} features", received))
        return [SKIP] * len(self.names)

    def _encode(self, columns: Mapping[str, Any], where: Where) -> Rows:
        encoded = encode(self.schema, columns)
        warnings: list[Warned] = []
        outside = (encoded < self._low) | (encoded > self._high)
        if outside.any():
            for row, position in np.argwhere(outside).tolist():
                feature = self.schema.features[position]
                assert isinstance(feature, NumericFeature)
                message = f"far outside the {feature.minimum:g} to {feature.maximum:g} of training"
                warnings.append(Warned(where(row, feature.name), "outside_range", message))
        for position, feature in enumerate(self.schema.features):
            if isinstance(feature, CategoricalFeature):
                values = columns[feature.name]
                for row in np.flatnonzero(encoded[:, position] == UNKNOWN).tolist():
                    if values[row] is not None:
                        message = "a category that training never saw, taken as unknown"
                        warnings.append(Warned(where(row, feature.name), "unknown_category", message))
        return Rows(encoded, warnings)


def _at(path: str) -> Where:
    return lambda row, name: f"{path}[{row}][{name!r}]"


def _fits(matrix: np.ndarray) -> bool:
    """Whether all are numbers that 32-bit floating point can hold."""
    return bool((np.abs(matrix) <= FLOAT32_MAX).all())


def _far(feature: Feature) -> tuple[float, float]:
    """Beyond these a number is odd: as far outside the range of training as the range is wide."""
    if not isinstance(feature, NumericFeature):
        return -np.inf, np.inf
    width = feature.maximum - feature.minimum
    return feature.minimum - width, feature.maximum + width


def _column(feature: Feature, values: Any, where: Where, errors: list[Wrong]) -> Any:
    """The values, after a complaint about each that cannot be one of this feature."""
    if isinstance(feature, NumericFeature):
        array = _numbers(feature, values)
        if array is not None:
            return array
    elif set(map(type, values)) <= ({str, type(None)} if feature.missing else {str}):  # type: ignore[union-attr]
        return values
    for row, value in enumerate(values):
        wrong = _wrong(feature, value)
        if wrong is not None:
            errors.append(Wrong(where(row, feature.name), *wrong))
    return values


def _numbers(feature: NumericFeature, values: Any) -> np.ndarray | None:
    """The column as float64, or None where something is wrong with it."""
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


def _wrong(feature: Feature, value: Any) -> tuple[str, str] | None:
    """What was expected instead of one value, and what it is."""
    wanted = "a number" if isinstance(feature, NumericFeature) else "a string"
    if value is SKIP:
        return None
    if value is ABSENT:
        return wanted, "no value"
    value = value.item() if isinstance(value, np.generic) else value
    if value is None or value != value:
        allowed = not isinstance(feature, NumericFeature | CategoricalFeature) or feature.missing
        return None if allowed else (f"{wanted} (training saw none missing)", "NaN" if value is not None else "null")
    if isinstance(feature, CategoricalFeature):
        return None if isinstance(value, str) else (wanted, kind(value))
    if type(value) not in NUMBERS:
        return wanted, kind(value)
    if abs(value) > FLOAT32_MAX:
        return "a number that fits 32-bit floating point", "a larger one"
    return None
