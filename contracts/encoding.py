"""Rows to numbers: the only preprocessing outside the Keras graph, shared by training and serving."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from contracts.schema import CategoricalFeature, ClassTarget, NumericTarget, Schema

UNKNOWN = 0  # the code of a category that is missing or absent from the train split


def encode(schema: Schema, columns: Mapping[str, Any]) -> np.ndarray:
    """Turn columns into the input of the network: numbers unchanged, categories as codes.

    Args:
        columns: the values of each feature, for example a DataFrame: array-like of shape (n_rows,), None or NaN
            where a value is missing; for an image of shape (n_rows, height, width).

    Returns:
        float32 array of shape (n_rows, input_width), NaN where a number is missing.
    """
    if schema.image is not None:
        return np.asarray(columns[schema.image.name], dtype=np.float32).reshape(-1, schema.input_width)
    encoded = [
        _codes(feature, columns[feature.name])
        if isinstance(feature, CategoricalFeature)
        else np.asarray(columns[feature.name], dtype=np.float32)
        for feature in schema.features
    ]
    return np.stack(encoded, axis=1)


def encode_target(schema: Schema, values: Sequence[Any]) -> np.ndarray:
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
    code_of = {category: code for code, category in enumerate(feature.categories, start=UNKNOWN + 1)}
    return np.fromiter((code_of.get(value, UNKNOWN) for value in values), dtype=np.float32, count=len(values))
