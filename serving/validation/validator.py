"""The input of a request, checked against the schema and encoded."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from contracts.encoding import UNKNOWN, Repeated, encode
from contracts.schema import CategoricalFeature, NumericFeature, Schema, columns_of
from serving.errors import MAX_LISTED, FieldError, Problem, invalid_request, json_type, quote_name
from serving.parsing.json_body import parse_json_object
from serving.parsing.number_arrays import read_number_array
from serving.validation.columns import (
    ABSENT,
    NUMBERS,
    REPORTED,
    PathOf,
    check_column,
    fits_float32,
    warn_outside,
    warning_limits,
)
from serving.validation.images import image_array, image_rows


class InputWarning(NamedTuple):
    """An unusual value for which the service still predicts."""

    path: str
    message: str


class EncodedRows(NamedTuple):
    """Encoded rows, float32 of shape (n_rows, schema.input_width), and the warnings about them.

    `warnings` has the first MAX_LISTED, because most rows of a file may have one. `kinds` counts all by their label in
    /metrics.
    """

    encoded: np.ndarray
    warnings: Sequence[InputWarning] = ()
    kinds: Mapping[str, int] = MappingProxyType({})


class InputValidator:
    """Checks the rows of one dataset. Every method raises `Problem` with all errors that it finds.

    Args:
        max_rows: rows in one request.
    """

    def __init__(self, schema: Schema, max_rows: int) -> None:
        self.schema, self.max_rows = schema, max_rows
        self.names = tuple(feature.name for feature in schema.features)
        image = schema.image
        # The most nested form of a row in any protocol has a list for each line of an image, or for each value.
        self.max_containers = 1000 + max_rows * ((image.height if image else len(self.names)) + 2)
        self._names = frozenset(self.names)
        # The graph fills a gap even if no train row has one.
        self.features = tuple(
            feature.model_copy(update={"missing": True}) if feature.name in schema.missing_elsewhere else feature
            for feature in schema.features
        )
        self.ignored = frozenset(schema.ignored)
        self._numeric = all(isinstance(feature, NumericFeature) for feature in schema.features)
        # Shapes of one row, or one image, in an array of numbers.
        self._array_shapes: list[tuple[int, ...]] = [(len(self.names),)] if self._numeric else []
        if image:
            self._array_shapes = [(image.height, image.width), (image.height * image.width,)]
        self._columns = [] if image else [(f, column) for f in schema.features for column in columns_of(f)]
        limits = [warning_limits(column) for _, column in self._columns] or [(-np.inf, np.inf)]
        self._low, self._high = np.array(limits, dtype=np.float32).T

    def parse_json(self, body: bytes, array_keys: tuple[str, ...] = ()) -> dict[str, Any]:
        """The JSON object in a body, with no more lists and objects than the row limit needs.

        Args:
            array_keys: keys whose value may be returned as an array: `validate_instances` takes both.
        """
        document = read_number_array(body, array_keys, self._array_shapes)
        return parse_json_object(body, self.max_containers) if document is None else document

    def validate_instances(self, instances: Any, path: str) -> EncodedRows:
        """Rows by feature name, rows in the schema's order, or images.

        Args:
            path: their place in the request.
        """
        if isinstance(instances, np.ndarray):
            if (rows := self._validate_array(instances, path)) is not None:
                return rows
            instances = instances.tolist()  # the checks below then name each error
        if not isinstance(instances, list):
            raise invalid_request(FieldError(path, "a list of instances", json_type(instances)))
        self.check_row_count(len(instances))
        if self.schema.image is not None:
            return EncodedRows(image_rows(self.schema.image, instances, path))
        return self.validate_rows(instances, lambda row: f"{path}[{row}]")

    def validate_rows(self, rows: list[Any], place: Callable[[int], str]) -> EncodedRows:
        """Rows by feature name, or in the schema's order.

        Args:
            place: where a row is, by its number from 0.
        """
        errors: list[FieldError] = []
        table = [self._row_values(row, place(number), errors) for number, row in enumerate(rows)]
        return self.validate_table(table, lambda row, name: f"{place(row)}[{name!r}]", errors)

    def validate_table(self, table: Sequence[Sequence[Any]], path_of: PathOf, errors: list[FieldError]) -> EncodedRows:
        """Rows in the schema's order.

        Args:
            errors: those already found in the request.
        """
        if not errors and self._numeric:
            flat = list(chain.from_iterable(table))
            if set(map(type, flat)) <= NUMBERS:
                matrix = np.fromiter(flat, np.float64, len(flat)).reshape(len(table), len(self.names))
                if fits_float32(matrix):
                    return self._encode(dict(zip(self.names, matrix.T, strict=True)), path_of)
        columns = zip(*table, strict=True) if table else [()] * len(self.names)
        return self.validate_columns(dict(zip(self.names, columns, strict=True)), path_of, errors)

    def validate_columns(self, columns: Mapping[str, Any], path_of: PathOf, errors: list[FieldError]) -> EncodedRows:
        """Every feature's values: sequences, arrays in which NaN is a missing number, or `Repeated`.

        Args:
            errors: those already found in the request.
        """
        checked = {
            feature.name: check_column(feature, columns[feature.name], path_of, errors) for feature in self.features
        }
        if errors:
            raise invalid_request(*errors)
        return self._encode(checked, path_of)

    def check_row_count(self, n_rows: int) -> None:
        """Refuse more rows than one request may have, with 413."""
        if n_rows > self.max_rows:
            raise Problem(413, f"expected at most {self.max_rows} rows in a request, received {n_rows}")

    def _validate_array(self, instances: np.ndarray, path: str) -> EncodedRows | None:
        """Rows or images in one array, or None if a value is invalid."""
        self.check_row_count(len(instances))
        if self.schema.image is not None:
            images = image_array(self.schema.image, instances)
            return None if images is None else EncodedRows(images)
        if not fits_float32(instances):
            return None
        return self._encode(dict(zip(self.names, instances.T, strict=True)), _path_below(path))

    def _row_values(self, row: Any, path: str, errors: list[FieldError]) -> Sequence[Any]:
        """The values of a row in the schema's order."""
        if type(row) is dict:
            if row.keys() == self._names:
                return [row[name] for name in self.names]
            expected = f"a feature: {', '.join(self.names)}"
            for name in row.keys() - self._names - self.ignored:
                errors.append(FieldError(f"{path}[{quote_name(name)}]", expected, "an unknown one"))
            return [row.get(name, ABSENT) for name in self.names]
        if type(row) is list and len(row) == len(self.names):
            return row
        received = f"{len(row)} values" if isinstance(row, list) else json_type(row)
        errors.append(FieldError(path, f"a value for each of the {len(self.names)} features", received))
        return [REPORTED] * len(self.names)

    def _encode(self, columns: Mapping[str, Any], path_of: PathOf) -> EncodedRows:
        encoded = encode(self.schema, columns)
        warnings: list[InputWarning] = []
        kinds: Counter[str] = Counter()
        outside = (encoded < self._low) | (encoded > self._high)
        if outside.any():
            kinds["outside_range"] = int(outside.sum())
            for row, position in np.argwhere(outside)[:MAX_LISTED].tolist():
                feature, column = self._columns[position]
                assert isinstance(column, NumericFeature)
                warnings.append(InputWarning(path_of(row, feature.name), warn_outside(feature, column)))
        for position, (feature, _) in enumerate(self._columns):
            if isinstance(feature, CategoricalFeature):
                rows = _unknown_rows(encoded[:, position], columns[feature.name])
                kinds["unknown_category"] += len(rows)
                seen = "rarely or never" if feature.rare else "never"
                message = f"a category that training {seen} saw, taken as unknown"
                for row in rows[: MAX_LISTED - len(warnings)].tolist():
                    warnings.append(InputWarning(path_of(row, feature.name), message))
        return EncodedRows(encoded, warnings, +kinds)


def _unknown_rows(codes: np.ndarray, values: Any) -> np.ndarray:
    """The rows that have a category without a code."""
    rows = np.flatnonzero((codes == UNKNOWN) | np.isnan(codes))
    if isinstance(values, Repeated):
        return rows[np.array([value is not None for value in values.values], bool)[values.positions[rows]]]
    return rows[np.fromiter((values[row] is not None for row in rows), bool, len(rows))]


def _path_below(path: str) -> PathOf:
    return lambda row, name: f"{path}[{row}][{name!r}]"
