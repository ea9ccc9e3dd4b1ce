"""The encoders of features: the preprocessing that is part of the network."""

import keras

from contracts.schema import CategoricalFeature, NumericFeature, Schema
from contracts.spec import Spec
from models.network import layers, table_layers

MANY_CODES = 9  # codes from which on a category has an embedding (RealMLP: Holzmüller et al., 2024, arXiv 2407.04491)


def encode(
    spec: Spec,
    schema: Schema,
    rows: keras.KerasTensor,
    features: tuple[NumericFeature | CategoricalFeature, ...] = (),
) -> keras.KerasTensor:
    """Encode the columns of `features` (default: all of the schema): (n_rows, len(features)) → (n_rows, n_encoded).

    The order is: numbers encoded by `spec.numeric`; an indicator for each number with missing values in the train
    split; categories encoded by `spec.categorical`. Pixels are scaled to 0…1, or standardised.
    """
    if schema.image is not None:
        encoded = _image(spec, schema, rows)
    else:
        features = features or schema.inputs
        numeric = [(i, f) for i, f in enumerate(features) if isinstance(f, NumericFeature)]
        categorical = [(i, f) for i, f in enumerate(features) if isinstance(f, CategoricalFeature)]
        parts = _numeric(spec, rows, numeric, len(features)) if numeric else []
        for column, feature in categorical:
            codes = layers.Columns([column])(rows)
            n_codes = len(feature.categories) + 1
            if spec.categorical == "one_hot" or (spec.categorical == "by_size" and n_codes < MANY_CODES):
                parts.append(layers.OneHot(n_codes)(codes))
            else:
                parts.append(keras.layers.Flatten()(keras.layers.Embedding(n_codes, spec.embedding)(codes)))
        encoded = keras.layers.Concatenate()(parts) if len(parts) > 1 else parts[0]
    if spec.noise:
        encoded = keras.layers.GaussianNoise(spec.noise)(encoded)
    return table_layers.InputScale()(encoded) if spec.input_scale else encoded


def _image(spec: Spec, schema: Schema, rows: keras.KerasTensor) -> keras.KerasTensor:
    image = schema.image
    assert image is not None
    if spec.numeric == "standardise":
        assert image.mean is not None
        assert image.std is not None
        scaled = keras.layers.Rescaling(1 / image.std, -image.mean / image.std)
    else:
        scaled = keras.layers.Rescaling(1 / image.maximum)
    if spec.shift or spec.flip:  # before the scale, so that the pixels that move in are black
        rows = layers.ShiftAndFlip(image.height, image.width, spec.shift, spec.flip)(rows)
    return scaled(rows)


def _numeric(
    spec: Spec, rows: keras.KerasTensor, numeric: list[tuple[int, NumericFeature]], n_columns: int
) -> list[keras.KerasTensor]:
    features = [feature for _, feature in numeric]
    numbers = rows if len(numeric) == n_columns else layers.Columns([column for column, _ in numeric])(rows)
    missing = [i for i, feature in enumerate(features) if feature.missing]
    # Also for features without missing values in the train split: rows of other splits may have some.
    filled = layers.Impute([feature.median for feature in features])(numbers)
    encoded = _encode_numbers(spec, features, filled)
    if len(encoded.shape) == 3:
        if spec.numeric_embedding and spec.numeric in ("piecewise", "periodic"):
            shape = (len(features), spec.numeric_embedding)
            encoded = keras.layers.EinsumDense("nfb,fbd->nfd", shape, activation="relu", bias_axes="fd")(encoded)
        encoded = keras.layers.Flatten()(encoded)
    if not missing:
        return [encoded]
    with_missing = numbers if len(missing) == len(features) else layers.Columns(missing)(numbers)
    return [encoded, layers.IsMissing()(with_missing)]


def _encode_numbers(spec: Spec, features: list[NumericFeature], numbers: keras.KerasTensor) -> keras.KerasTensor:
    match spec.numeric:
        case "none":
            return numbers
        case "quantile":
            return layers.Quantile([list(feature.quantiles) for feature in features])(numbers)
        case "piecewise":
            return layers.PiecewiseLinear([list(feature.tree_bins) for feature in features])(numbers)
        case "robust" | "pbld":
            scaled = table_layers.RobustScale(*table_layers.robust_constants(features))(numbers)
            if spec.numeric == "robust":
                return scaled
            return table_layers.PeriodicDense(spec.frequencies, spec.frequency_scale, spec.numeric_embedding)(scaled)
    means, stds = [feature.mean for feature in features], [feature.std for feature in features]
    standardised = layers.Standardise(means, stds)(numbers)
    if spec.numeric == "piecewise_sum":
        pieces = layers.PiecewiseLinear([list(feature.tree_bins) for feature in features])(numbers)
        return table_layers.PiecewiseSum(spec.numeric_embedding)([standardised, pieces])
    if spec.numeric == "periodic":
        return layers.Periodic(spec.frequencies, spec.frequency_scale)(standardised)
    return standardised
