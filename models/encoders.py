"""From an encoded row to numbers that a network learns well from, inside the graph.

All constants are those that the schema holds, fitted on the train split. The layers are written with
`keras.ops`, because Keras' own `Normalization` and `StringLookup` do not survive the export to ONNX.
"""

import keras
import numpy as np
from keras import ops

from pipeline.schema import CategoricalFeature, NumericFeature, Schema


def encoder(schema: Schema) -> keras.layers.Layer:
    """The layer that a network begins with."""
    if schema.image is not None:
        return keras.layers.Rescaling(1 / schema.image.maximum, name="encoder")
    numeric = [(i, f) for i, f in enumerate(schema.features) if isinstance(f, NumericFeature)]
    categorical = [(i, f) for i, f in enumerate(schema.features) if isinstance(f, CategoricalFeature)]
    return FeatureEncoder(
        numeric=[[i, f.median, f.mean, f.std, f.missing] for i, f in numeric],
        categorical=[[i, len(f.categories)] for i, f in categorical],
        name="encoder",
    )


@keras.saving.register_keras_serializable(package="mlp")
class FeatureEncoder(keras.layers.Layer):
    """Standardise numbers, fill missing ones with the median and mark them, one-hot encode codes.

    Input: float32 of shape (n_rows, n_features). Output: float32 of shape (n_rows, n_encoded): the
    standardised numbers, an indicator for each number that may be missing, and for each categorical
    feature one column per category and one for the unknown.

    Args:
        numeric: per numeric feature its column, median, mean, standard deviation, and whether training
            saw it missing.
        categorical: per categorical feature its column and its number of categories.
    """

    def __init__(self, numeric: list, categorical: list, **kwargs) -> None:  # type: ignore[no-untyped-def]
        super().__init__(**kwargs)
        self.numeric, self.categorical = numeric, categorical

    def call(self, rows):  # type: ignore[no-untyped-def]
        parts = []
        if self.numeric:
            columns, median, mean, std, _ = (np.array(values) for values in zip(*self.numeric, strict=True))
            numbers = ops.take(rows, columns.astype("int32"), axis=1)
            absent = ops.isnan(numbers)
            filled = ops.where(absent, ops.convert_to_tensor(median, "float32"), numbers)
            scaled = (filled - mean.astype("float32")) * (1 / std).astype("float32")
            parts.append(scaled)
            may_be_absent = [i for i, feature in enumerate(self.numeric) if feature[4]]
            if may_be_absent:
                parts.append(ops.cast(ops.take(absent, np.array(may_be_absent, "int32"), axis=1), "float32"))
        for column, n_categories in self.categorical:
            codes = ops.cast(rows[:, column], "int32")
            parts.append(ops.one_hot(codes, n_categories + 1, dtype="float32"))
        return ops.concatenate(parts, axis=1) if len(parts) > 1 else parts[0]

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        indicators = sum(bool(feature[4]) for feature in self.numeric)
        return (input_shape[0], len(self.numeric) + indicators + sum(n + 1 for _, n in self.categorical))

    def get_config(self) -> dict:
        return {**super().get_config(), "numeric": self.numeric, "categorical": self.categorical}
