"""What networks for tables do with numbers far out, constants, many categories and targets never seen."""

import numpy as np
import pytest

from contracts.schema import CategoricalFeature, NumericFeature
from models.network import build
from models.training.fit import fit


def numeric(**changes) -> NumericFeature:
    made = {"minimum": 0, "maximum": 10, "mean": 5, "std": 2, "median": 4, "missing": False, "quartiles": (2, 6)}
    return NumericFeature(name="x", **{**made, **changes})


def encoded(spec, schema, features, rows):
    """What the layers before the head give, without hidden layers."""
    network = build.build(spec, schema.model_copy(update={"features": features}))
    head = network.get_layer("prediction_raw")
    head.set_weights([np.eye(*head.kernel.shape), np.zeros(head.bias.shape)])
    raw = build.keras.Model(network.input, head.output)
    return np.asarray(raw(np.array(rows, np.float32)))


def test_robust_scaling_is_the_median_at_0_and_never_leaves_3(spec_of, data_of):
    schema, _ = data_of("multiclass")
    spiky = numeric(quartiles=(4, 4))
    constant = numeric(minimum=4, maximum=4, quartiles=(4, 4))
    spec = spec_of(depth=0, numeric="robust")
    values = encoded(spec, schema, (numeric(), spiky, constant), [[4, 4, 4], [8, 9, 5], [1e38, -1e38, 1e38]])
    np.testing.assert_allclose(values[0], 0)
    np.testing.assert_allclose(values[1], [1 / np.sqrt(1 + 1 / 9), 1 / np.sqrt(1 + 1 / 9), 0], rtol=1e-6)
    np.testing.assert_allclose(values[2], [3, -3, 0], rtol=1e-6)


@pytest.mark.parametrize(("n", "width"), [(7, 8), (8, 2)])
def test_a_category_has_an_embedding_from_nine_codes_on(n, width, spec_of, data_of):
    schema, _ = data_of("multiclass")
    feature = CategoricalFeature(name="c", categories=tuple("abcdefgh"[:n]), missing=False)
    spec = spec_of(depth=0, categorical="by_size", embedding=2)
    network = build.build(spec, schema.model_copy(update={"features": (feature,)}))
    assert network.get_layer("prediction_raw").kernel.shape[0] == width


def test_predictions_are_clipped_to_the_train_targets_only_where_they_are_used(spec_of, data_of):
    schema, split = data_of("regression")
    for family in ("sequential", "ensemble"):
        spec = spec_of(clip_output=True, family=family, members=2)
        network = build.build(spec, schema)
        network.set_weights([np.ones_like(weights) for weights in network.get_weights()])
        assert np.asarray(network(split.features)).max() == pytest.approx(schema.target.maximum)
        assert np.asarray(network(split.features, training=True)).max() > schema.target.maximum


def test_factors_learn_six_times_as_fast_as_a_weight_and_activations_a_tenth(spec_of, data_of):
    schema, split = data_of("regression")
    spec = spec_of(input_scale=True, parametric=True, learning_rate=0.001, batch_size=96)
    fitted = fit(spec, schema, split, split, monitor="rmse", higher_is_better=False, epochs=1, patience=1, seed=0)
    layers = {layer.name.rstrip("_0123456789"): layer for layer in fitted.network.layers}
    scale, activated = layers["input_scale"], fitted.network.get_layer("activated_1")
    # The first step of Adam is as long as its learning rate.
    factors = np.asarray(scale(np.ones((1, scale.change.shape[0]), np.float32)))
    assert np.abs(factors - 1).max() == pytest.approx(0.006, rel=1e-3)
    assert np.abs(activated(-np.ones((1, 8), np.float32))).max() == pytest.approx(0.0001, rel=1e-2)
