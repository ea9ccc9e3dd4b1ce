"""Every forward pass in NumPy, from the weights alone (Géron, chapter 10)."""

import math
from statistics import NormalDist

import numpy as np

from contracts.schema import CategoricalFeature, NumericFeature, NumericTarget, Schema
from contracts.spec import Spec

SELU_SCALE, SELU_ALPHA = 1.0507009873554805, 1.6732632423543772


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


ACTIVATIONS = {
    "linear": lambda x: x,
    "relu": lambda x: np.maximum(x, 0),
    "selu": lambda x: SELU_SCALE * np.where(x > 0, x, SELU_ALPHA * (np.exp(x) - 1)),
    "gelu": lambda x: 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    "silu": lambda x: x * sigmoid(x),
    "mish": lambda x: x * np.tanh(np.log1p(np.exp(x))),
    "tanh": np.tanh,
    "sigmoid": sigmoid,
    "softplus": lambda x: np.log1p(np.exp(x)),
    "softmax": softmax,
}


def forward(spec: Spec, schema: Schema, weights: dict[str, list[np.ndarray]], rows: np.ndarray) -> np.ndarray:
    """Predictions of shape (n_rows, n_outputs); `weights` maps each layer's name to its arrays."""
    rows = rows.astype(np.float64)
    features = list(schema.features)
    if spec.family == "ensemble":
        values = encoded(spec, schema, weights, rows, features, "")[:, None] * weights["member_scale"][0]
        values = hidden(spec, weights, values)
        kernel, bias = weights["heads"]
        return activated(spec, schema, np.einsum("nkd,kdo->nko", values, kernel) + bias).mean(axis=1)
    if spec.family == "sequential":
        values = hidden(spec, weights, encoded(spec, schema, weights, rows, features, ""))
    elif spec.wide and spec.deep:
        names = [feature.name for feature in features]
        paths, n_embeddings = {}, 0
        for number, (path, chosen) in enumerate((("wide", spec.wide), ("deep", spec.deep))):
            columns = [names.index(name) for name in chosen]
            theirs = [features[i] for i in columns]
            suffix = f"_{number}" if number else ""
            paths[path] = encoded(spec, schema, weights, rows[:, columns], theirs, suffix, n_embeddings)
            n_embeddings += sum(isinstance(feature, CategoricalFeature) for feature in theirs)
        values = np.concatenate([paths["wide"], hidden(spec, weights, paths["deep"])], axis=1)
    else:
        wide = encoded(spec, schema, weights, rows, features, "")
        values = np.concatenate([wide, hidden(spec, weights, wide)], axis=1)
    kernel, bias = weights["prediction_raw"]
    return activated(spec, schema, values @ kernel + bias)


def hidden(spec, weights, values):
    for number in range(1, spec.depth + 1):
        came_in = values
        kernel, bias = weights[f"hidden_{number}"]
        values = values @ kernel + bias
        if spec.normalization == "batch":
            gamma, beta, mean, variance = weights[f"normalised_{number}"]
            values = (values - mean) / np.sqrt(variance + 1e-3) * gamma + beta
        elif spec.normalization == "layer":
            gamma, beta = weights[f"normalised_{number}"]
            mean, variance = values.mean(-1, keepdims=True), values.var(-1, keepdims=True)
            values = (values - mean) / np.sqrt(variance + 1e-3) * gamma + beta
        activated = ACTIVATIONS[spec.activation](values)
        share = 1 + 0.1 * weights[f"activated_{number}"][0] if spec.parametric else 1
        values = values + share * (activated - values)
        if spec.residual and came_in.shape == values.shape:
            values = came_in + values
    return values


def encoded(spec, schema, weights, rows, features, suffix, first_embedding=0):
    if schema.image is not None:
        if spec.numeric == "standardise":
            return (rows - schema.image.mean) / schema.image.std
        return rows / schema.image.maximum
    parts = []
    numeric = [(i, f) for i, f in enumerate(features) if isinstance(f, NumericFeature)]
    if numeric:
        numbers = rows[:, [i for i, _ in numeric]]
        filled = np.where(np.isnan(numbers), [f.median for _, f in numeric], numbers)
        parts.append(_numbers(spec, weights, filled, [f for _, f in numeric], suffix))
        absent = np.isnan(numbers[:, [i for i, (_, f) in enumerate(numeric) if f.missing]])
        parts.append(absent.astype(float))
    number = first_embedding
    for column, feature in enumerate(features):
        if isinstance(feature, CategoricalFeature):
            codes = rows[:, column].astype(int)
            if spec.categorical in ("one_hot", "by_size"):
                parts.append(np.eye(len(feature.categories) + 1)[codes])
            else:
                parts.append(weights["embedding" + (f"_{number}" if number else "")][0][codes])
                number += 1
    joined = np.concatenate(parts, axis=1)
    return joined * (1 + 6 * weights[f"input_scale{suffix}"][0]) if spec.input_scale else joined


def _numbers(spec, weights, filled, features, suffix):
    standardised = (filled - [f.mean for f in features]) / [f.std for f in features]
    match spec.numeric:
        case "auto" | "standardise":
            return standardised
        case "none":
            return filled
        case "robust" | "pbld":
            scales = [1 / (f.quartiles[1] - f.quartiles[0]) for f in features]
            z = (filled - [f.median for f in features]) * scales
            z = z / np.sqrt(1 + (z / 3) ** 2)
            if spec.numeric == "robust":
                return z
            frequency, phase, kernel, bias = weights[f"periodic_dense{suffix}"]
            waves = np.cos(2 * np.pi * z[:, :, None] * frequency + phase)
            steps = np.concatenate([z[:, :, None], np.einsum("nfb,fbd->nfd", waves, kernel) + bias], axis=2)
        case "quantile":
            columns = []
            for column, feature in zip(filled.T, features, strict=True):
                n = len(feature.quantiles)
                scores = [NormalDist().inv_cdf((i + 0.5) / n) for i in range(n)]
                columns.append(np.interp(column, feature.quantiles, scores))
            return np.stack(columns, axis=1)
        case "piecewise" | "piecewise_sum":
            most = max(len(f.tree_bins) for f in features) - 1
            steps = np.zeros((len(filled), len(features), most))
            for i, feature in enumerate(features):
                for j, (low, high) in enumerate(zip(feature.tree_bins, feature.tree_bins[1:], strict=False)):
                    steps[:, i, j] = np.clip((filled[:, i] - low) / (high - low), 0, 1)
        case "periodic":
            angle = 2 * np.pi * standardised[:, :, None] * weights[f"periodic{suffix}"][0]
            steps = np.concatenate([np.sin(angle), np.cos(angle)], axis=2)
    if spec.numeric == "piecewise_sum":
        slope, bias, kernel = weights[f"piecewise_sum{suffix}"]
        steps = standardised[:, :, None] * slope + bias + np.einsum("nfb,fbd->nfd", steps, kernel)
    elif spec.numeric_embedding and spec.numeric != "pbld":
        kernel, bias = weights[f"einsum_dense{suffix}"]
        steps = np.maximum(np.einsum("nfb,fbd->nfd", steps, kernel) + bias, 0)
    return steps.reshape(len(steps), -1)


def ordered(levels, raw):
    """The median, and from it outwards gaps that are above 0."""
    normal = [NormalDist().inv_cdf(level) for level in levels]
    values, median = np.empty_like(raw), levels.index(0.5)
    values[..., median] = raw[..., median]
    for i in (*range(median - 1, -1, -1), *range(median + 1, len(levels))):
        inner = i + 1 if i < median else i - 1
        gap = np.log1p(np.exp(raw[..., i])) / np.log(2)
        values[..., i] = values[..., inner] + gap * (normal[i] - normal[inner])
    return values


def activated(spec, schema, raw):
    if schema.levels and not spec.clip_output:
        raw = ordered(schema.levels, raw)
    default = {"multiclass": "softmax", "binary": "sigmoid", "multilabel": "sigmoid", "regression": "linear"}
    kind = default[schema.task] if spec.output == "auto" else spec.output
    values = ACTIVATIONS[kind](raw)
    if schema.task != "regression":
        return values
    target = schema.target
    targets = [target] if isinstance(target, NumericTarget) else target.targets
    if spec.clip_output:
        free = activated(spec.model_copy(update={"clip_output": False}), schema, raw)
        return np.clip(free, [t.minimum for t in targets], [t.maximum for t in targets])
    if spec.target_scale == "log":
        values = np.clip(values, -10, 10)
        return np.exp(values * [t.log.std for t in targets] + [t.log.mean for t in targets]) - [
            t.log.offset for t in targets
        ]
    if kind == "linear":
        return values * [t.std for t in targets] + [t.mean for t in targets]
    if kind in ("relu", "softplus"):
        return values * [t.std for t in targets]
    low, high = spec.bounds
    return low + (high - low) * (values if kind == "sigmoid" else (values + 1) / 2)
