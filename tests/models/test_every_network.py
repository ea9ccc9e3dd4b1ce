"""Every family, head, encoding and layer is one function wherever it is computed.

Each family meets each head and each inside. A head sees only what the last layer of its
family gives, so that it need not meet each inside.
"""

import re
from collections import Counter

import keras
import numpy as np
import onnxruntime
import pytest
import tensorflow as tf
import tf2onnx.convert
from oracle import forward

from models.network import build
from models.network.average import Average
from models.training.export import ExportFailed, export, inference_model
from models.training.fit import fit
from models.training.formats import write_formats

HEADS = {
    "multiclass": ("multiclass", {}),
    "multiclass, smoothed labels": ("multiclass", {"label_smoothing": 0.1}),
    "binary": ("binary", {}),
    "multilabel": ("multilabel", {}),
    "one number": ("regression", {}),
    "positive, relu": ("regression", {"output": "relu", "loss": "mae"}),
    "positive, softplus": ("regression", {"output": "softplus", "loss": "huber"}),
    "bounded, sigmoid": ("regression", {"output": "sigmoid", "bounds": (30.0, 100.0)}),
    "bounded, tanh": ("regression", {"output": "tanh", "bounds": (30.0, 100.0)}),
    "several numbers": ("several", {}),
    "logarithms": ("several", {"target_scale": "log"}),
    "clipped": ("several", {"clip_output": True}),
    "quantiles": ("quantiles", {"target_scale": "log", "clip_output": True}),
}
# Their labels and losses differ; the other heads differ from one of them in the last layer alone.
KINDS = ("multiclass", "binary", "multilabel", "one number", "several numbers", "quantiles")
OTHERS = {"several": {"several": True}, "quantiles": {"quantiles": (0.05, 0.3, 0.5, 0.95)}}  # kinds of regression
FAMILIES = {
    "sequential": {},
    "wide_deep": {"family": "wide_deep"},
    "wide_deep, paths": {"family": "wide_deep", "wide": ("a", "b", "colour"), "deep": ("b", "colour", "shape")},
    "wide_deep, auxiliary": {"family": "wide_deep", "auxiliary_weight": 0.1},
    "ensemble": {"family": "ensemble", "members": 4, "members_per_row": 2},
}
INSIDES = {
    "as they are": {"numeric": "none"},
    "quantile": {"numeric": "quantile", "activation": "sigmoid"},
    "piecewise": {"numeric": "piecewise"},
    "piecewise, embedded": {"numeric": "piecewise", "numeric_embedding": 3},
    "periodic": {"numeric": "periodic", "frequencies": 4},
    "periodic, embedded": {"numeric": "periodic", "frequencies": 4, "numeric_embedding": 3},
    "robust, factors": {
        "numeric": "robust",
        "input_scale": True,
        "parametric": True,
        "beta_2": 0.95,
        "schedule": "coslog4",
    },
    "pbld": {"numeric": "pbld", "frequencies": 4, "numeric_embedding": 3, "activation": "mish"},
    "piecewise, sum": {"numeric": "piecewise_sum", "numeric_embedding": 3, "categorical": "by_size"},
    "embedding": {"categorical": "embedding", "embedding": 3, "activation": "tanh"},
    "batch": {"normalization": "batch", "residual": True, "dropout": 0.2, "l2": 0.001, "max_norm": 2.0},
    "layer": {"normalization": "layer", "noise": 0.1, "activation": "selu"},
    "pyramid": {"width": (12, 5), "activation": "gelu"},
    "pyramid, residual": {"width": (12, 12, 5), "depth": 3, "residual": True, "activation": "silu"},
    "no hidden layer": {"depth": 0},
}
# Each family with each inside; the head turns, so that each family also meets each head.
EVERY_PAIR = [
    (family, list(HEADS)[(i + j) % len(HEADS)], inside)
    for i, family in enumerate(FAMILIES)
    for j, inside in enumerate(INSIDES)
]
# To export takes six times as long, to train as well fifteen times: each head once, each kind of head with a second
# family. Other heads than the kinds are exported with random weights.
EXPORTED = [
    (list(FAMILIES)[(n + n // len(HEADS)) % len(FAMILIES)], head, list(INSIDES)[n % len(INSIDES)])
    for n, head in enumerate((*HEADS, *KINDS))
]


def difference(received, expected):
    """The largest difference, relative where a value is larger than 1."""
    assert received.shape == expected.shape
    return np.abs((received - expected) / np.maximum(1, np.abs(expected))).max()


def trained(spec, schema, split):
    fitted = fit(spec, schema, split, split, monitor="rmse" if schema.task == "regression" else "log_loss",
                 higher_is_better=False, epochs=1, patience=1, seed=0)  # fmt: skip
    assert np.isfinite(fitted.history["loss"]).all()
    return fitted.network


def with_random_weights(spec, schema):
    """Biases are 0 and scales 1 at first, which would hide what they do."""
    network = build.build(spec, schema)
    generator = np.random.default_rng(0)
    network.set_weights([weights + generator.uniform(0, 0.2, weights.shape) for weights in network.get_weights()])
    return network


def difference_after_export(network, spec, schema, split, folder):
    """Save, load and export; how far Keras and ONNX are from the same network in NumPy."""
    export(network, folder, split.features)
    loaded = keras.models.load_model(folder / "model.keras", compile=False)
    by_keras = np.asarray(inference_model(loaded)(split.features))
    session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    (by_onnx,) = session.run(None, {session.get_inputs()[0].name: split.features})
    by_numpy = forward(spec, schema, weights_of(loaded), split.features)
    return max(difference(by_keras, by_numpy), difference(by_onnx, by_numpy))


def weights_of(network):
    """Arrays by layer; the automatic names of one kind of layer are numbered from 0 in the order of their making."""
    found, counts = {}, Counter()
    layers = [layer for layer in network._flatten_layers(include_self=False) if layer.weights]
    for layer in sorted(layers, key=lambda layer: int(re.search(r"\d*$", layer.name)[0] or 0)):
        if isinstance(layer, keras.Model):
            continue
        kind = layer.name.rstrip("0123456789").rstrip("_")
        name = layer.name
        if kind in (
            "embedding",
            "einsum_dense",
            "periodic",
            "periodic_dense",
            "piecewise_sum",
            "input_scale",
            "member_scale",
        ):
            name = f"{kind}_{counts[kind]}" if counts[kind] else kind
            counts[kind] += 1
        found[name] = [np.asarray(w, np.float64) for w in layer.get_weights()]
    return found


def combined(combination, spec_of, data_of):
    """The spec, schema and rows of a family, a head and an inside."""
    family, head, inside = combination
    task, changes = HEADS[head]
    schema, split = data_of("regression" if task in OTHERS else task, **OTHERS.get(task, {}))
    return spec_of(**FAMILIES[family], **changes, **INSIDES[inside]), schema, split


@pytest.mark.parametrize("combination", EVERY_PAIR, ids=" · ".join)
def test_a_network_is_the_same_in_keras_and_in_numpy(combination, spec_of, data_of):
    spec, schema, split = combined(combination, spec_of, data_of)
    network = with_random_weights(spec, schema)
    by_keras = np.asarray(inference_model(network)(split.features))
    assert difference(by_keras, forward(spec, schema, weights_of(network), split.features)) <= 1e-5


@pytest.mark.parametrize("combination", EXPORTED, ids=" · ".join)
def test_an_exported_network_is_the_same_in_keras_in_onnx_and_in_numpy(combination, spec_of, data_of, tmp_path):
    spec, schema, split = combined(combination, spec_of, data_of)
    is_kind = combination[1] in KINDS
    network = trained(spec, schema, split) if is_kind else with_random_weights(spec, schema)
    assert difference_after_export(network, spec, schema, split, tmp_path) <= 1e-5


def test_every_family_head_and_inside_is_exported_and_every_family_meets_the_others_untrained():
    assert [len(set(values)) for values in zip(*EXPORTED, strict=True)] == [len(FAMILIES), len(HEADS), len(INSIDES)]
    for others, column in ((HEADS, 1), (INSIDES, 2)):
        assert len({(row[0], row[column]) for row in EVERY_PAIR}) == len(FAMILIES) * len(others)
    for kind in KINDS:
        assert len({family for family, head, _ in EXPORTED if head == kind}) == 2, kind


@pytest.mark.parametrize("numeric", ["auto", "none", "standardise"])
def test_pixels_are_scaled_to_one_or_standardised(numeric, spec_of, data_of, tmp_path):
    schema, split = data_of("multiclass", images=True)
    spec = spec_of(numeric=numeric)
    assert difference_after_export(with_random_weights(spec, schema), spec, schema, split, tmp_path) <= 1e-5
    encoded = build.build(spec_of(numeric=numeric, depth=0), schema).layers[1](split.features)
    assert (abs(np.mean(encoded)) < 1e-5 and np.std(encoded) == pytest.approx(1)) == (numeric == "standardise")


def test_images_are_augmented_only_in_training(spec_of, data_of, tmp_path):
    schema, split = data_of("multiclass", images=True)
    spec = spec_of(shift=1, flip=True, noise=0.1)
    assert difference_after_export(trained(spec, schema, split), spec, schema, split, tmp_path) <= 1e-5
    network = build.build(spec, schema)
    assert not np.allclose(network(split.features, training=True), network(split.features))


def test_an_export_whose_predictions_differ_is_refused(spec_of, data_of, tmp_path, monkeypatch):
    schema, split = data_of("binary")
    network = build.build(spec_of(), schema)
    other = build.build(spec_of(), schema)
    convert = tf2onnx.convert.from_function
    swapped = tf.function(other)
    monkeypatch.setattr(tf2onnx.convert, "from_function", lambda _, *args, **to: convert(swapped, *args, **to))
    with pytest.raises(ExportFailed, match="differs from the network"):
        export(network, tmp_path, split.features)


@pytest.mark.parametrize("kind", ["ensemble", "mean"])
def test_networks_that_are_no_graph_of_layers_have_the_formats_of_other_tools(kind, spec_of, data_of, tmp_path):
    """An ensemble of shared layers, which most tables have, and the mean of an ensemble of trials."""
    schema, split = data_of("binary")
    networks = [build.build(spec_of(**FAMILIES["ensemble"]), schema) for _ in range(2)]
    network = networks[0] if kind == "ensemble" else Average(networks, (0.5, 0.5))
    network(split.features)
    network.save(tmp_path / "model.keras")
    write_formats(tmp_path / "model.keras", tmp_path / "out", schema.input_width)
    loaded = tf.saved_model.load(str(tmp_path / "out/saved_model"))
    assert (
        difference(np.asarray(loaded.serve(tf.constant(split.features))), np.asarray(network(split.features))) <= 1e-5
    )
    again = keras.models.model_from_json((tmp_path / "out/architecture.json").read_text())
    again.load_weights(tmp_path / "out/model.weights.h5")
    np.testing.assert_allclose(again(split.features), network(split.features), atol=1e-6)


def test_two_networks_of_the_textbook_have_its_numbers_of_parameters(spec_of):
    """Géron, chapter 10."""
    from contracts.schema import ClassTarget, ImageFeature, NumericFeature, Schema

    number = {"minimum": 0, "maximum": 1, "mean": 0, "std": 1, "median": 0, "missing": False}

    def schema(features, n_classes):
        shares = (1 / n_classes,) * n_classes
        target = ClassTarget(name="y", classes=tuple("0123456789"[:n_classes]), frequencies=shares)
        return Schema(dataset="s", raw_md5="", task="multiclass", features=features, target=target, sample={})

    flowers = schema(tuple(NumericFeature(name=name, **number) for name in "abcd"), 3)
    clothes = schema((ImageFeature(name="image", height=28, width=28, maximum=255),), 10)
    assert build.build(spec_of(width=(4, 128)), flowers).count_params() == 1_047
    assert build.build(spec_of(width=(300, 100)), clothes).count_params() == 266_610


def test_a_missing_number_is_imputed_where_the_train_split_had_none(spec_of, data_of):
    schema, split = data_of("binary")
    complete = [f.model_copy(update={"missing": False}) if f.kind == "numeric" else f for f in schema.features]
    rows = split.features.copy()
    rows[:, 0] = np.nan
    network = build.build(spec_of(), schema.model_copy(update={"features": tuple(complete)}))
    assert np.isfinite(np.asarray(network(rows))).all()
