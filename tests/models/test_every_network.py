"""Every family × head, and every encoding and layer, is one function wherever it is computed."""

import keras
import numpy as np
import onnxruntime
import pytest
from oracle import forward

from models.network import build
from models.training.export import ExportFailed, export, served
from models.training.fit import fit

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
}
FAMILIES = {
    "sequential": {},
    "wide_deep": {"family": "wide_deep"},
    "wide_deep, paths": {"family": "wide_deep", "wide": ("a", "b", "colour"), "deep": ("b", "colour", "shape")},
    "wide_deep, auxiliary": {"family": "wide_deep", "auxiliary_weight": 0.1},
    "ensemble": {"family": "ensemble", "members": 3},
}
INSIDES = {
    "as they are": {"numeric": "none"},
    "quantile": {"numeric": "quantile"},
    "piecewise": {"numeric": "piecewise"},
    "piecewise, embedded": {"numeric": "piecewise", "numeric_embedding": 3},
    "periodic": {"numeric": "periodic", "frequencies": 4},
    "periodic, embedded": {"numeric": "periodic", "frequencies": 4, "numeric_embedding": 3},
    "embedding": {"categorical": "embedding", "embedding": 3},
    "batch": {"normalization": "batch", "residual": True, "dropout": 0.2, "l2": 0.001, "max_norm": 2.0},
    "layer": {"normalization": "layer", "noise": 0.1},
    "pyramid": {"width": (12, 5)},
    "no hidden layer": {"depth": 0},
    **{name: {"activation": name} for name in ("selu", "gelu", "silu", "tanh", "sigmoid")},
    "ensemble of encoded": {"family": "ensemble", "members": 3, "numeric": "piecewise", "normalization": "layer"},
}


def agree(spec, schema, split, tmp_path):
    """Train one epoch, save, load, export; the largest difference between the three, relative to the values."""
    fitted = fit(spec, schema, split, split, monitor="rmse" if schema.task == "regression" else "log_loss",
                 higher_is_better=False, epochs=1, patience=1, seed=0)  # fmt: skip
    assert np.isfinite(fitted.history["loss"]).all()
    export(fitted.network, tmp_path, split.features)
    loaded = keras.models.load_model(tmp_path / "model.keras", compile=False)
    by_keras = np.asarray(served(loaded)(split.features))
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    (by_onnx,) = session.run(None, {session.get_inputs()[0].name: split.features})
    by_hand = forward(spec, schema, weights_of(loaded), split.features)
    assert by_hand.shape == by_keras.shape == by_onnx.shape
    size = np.maximum(1, np.abs(by_hand))
    return max(np.abs((by_hand - by_keras) / size).max(), np.abs((by_hand - by_onnx) / size).max())


def weights_of(network):
    """Arrays by layer; repeated automatic names are numbered from 0 in the order of the graph."""
    found, counts = {}, {}
    for layer in network._flatten_layers(include_self=False):
        if not layer.weights or isinstance(layer, keras.Model):
            continue
        kind = layer.name.rstrip("0123456789").rstrip("_")
        name = layer.name
        if kind in ("embedding", "einsum_dense", "periodic", "member_scale"):
            number = counts[kind] = counts.get(kind, -1) + 1
            name = f"{kind}_{number}" if number else kind
        found[name] = [np.asarray(w, np.float64) for w in layer.get_weights()]
    return found


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("head", HEADS)
def test_every_family_with_every_head_is_the_same_by_hand_in_keras_and_in_onnx(
    family, head, spec_of, data_of, tmp_path
):
    task, changes = HEADS[head]
    schema, split = data_of("regression" if task == "several" else task, several=task == "several")
    assert agree(spec_of(**FAMILIES[family], **changes), schema, split, tmp_path) <= 1e-5


@pytest.mark.parametrize("inside", INSIDES)
def test_every_encoding_and_layer_is_the_same_by_hand_in_keras_and_in_onnx(inside, spec_of, data_of, tmp_path):
    schema, split = data_of("binary")
    assert agree(spec_of(**INSIDES[inside]), schema, split, tmp_path) <= 1e-5


@pytest.mark.parametrize("numeric", ["auto", "none", "standardise"])
def test_images_are_shares_of_the_brightest_or_standardised(numeric, spec_of, data_of, tmp_path):
    schema, split = data_of("multiclass", images=True)
    assert agree(spec_of(numeric=numeric), schema, split, tmp_path) <= 1e-5
    encoded = build.build(spec_of(numeric=numeric, depth=0), schema).layers[1](split.features)
    assert (abs(np.mean(encoded)) < 1e-5 and np.std(encoded) == pytest.approx(1)) == (numeric == "standardise")


def test_augmented_images_are_left_alone_outside_training(spec_of, data_of, tmp_path):
    schema, split = data_of("multiclass", images=True)
    spec = spec_of(shift=1, flip=True, noise=0.1)
    assert agree(spec, schema, split, tmp_path) <= 1e-5
    network = build.build(spec, schema)
    assert not np.allclose(network(split.features, training=True), network(split.features))


def test_a_graph_that_predicts_something_else_is_not_exported(spec_of, data_of, tmp_path, monkeypatch):
    schema, split = data_of("binary")
    network = build.build(spec_of(), schema)
    other = build.build(spec_of(), schema)
    monkeypatch.setattr(network, "export", other.export)
    other(split.features)
    with pytest.raises(ExportFailed, match="differs from the network"):
        export(network, tmp_path, split.features)


def test_the_material_s_networks_have_as_many_parameters_as_it_prints(spec_of):
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


def test_a_number_that_is_missing_where_training_saw_none_is_filled(spec_of, data_of):
    schema, split = data_of("binary")
    complete = [f.model_copy(update={"missing": False}) if f.kind == "numeric" else f for f in schema.features]
    rows = split.features.copy()
    rows[:, 0] = np.nan
    network = build.build(spec_of(), schema.model_copy(update={"features": tuple(complete)}))
    assert np.isfinite(np.asarray(network(rows))).all()
