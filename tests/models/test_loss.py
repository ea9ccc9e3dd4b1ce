"""The loss that a training minimises: weights of rows, classes and outputs, and each member of an ensemble."""

import numpy as np
import pytest
import tensorflow as tf

from models.network import build, heads
from models.training.class_weights import apply_class_weights
from models.training.fit import compile_trainer, fit

LOSS = {"monitor": "log_loss", "higher_is_better": False}


def test_the_loss_is_weighted_by_row_weight_times_class_weight(spec_of, flowers):
    schema, split = flowers
    rows = np.linspace(0.5, 2, len(split.target)).astype(np.float32)
    of_classes = {"low": 3.0, "high": 0.5}
    counted = apply_class_weights(split._replace(weight=rows), schema, of_classes)
    factors = np.array([of_classes.get(schema.classes[code], 1.0) for code in split.target])
    np.testing.assert_allclose(counted.weight, rows * factors)
    spec = spec_of()
    network = build.build(spec, schema)
    trainer = compile_trainer(network, spec, schema, counted, split, 1)
    loss = float(trainer.compute_loss(None, tf.constant(split.target), network(split.features), counted.weight))
    of_truth = np.asarray(network(split.features))[np.arange(len(split.target)), split.target]
    assert loss == pytest.approx(np.mean(rows * factors * -np.log(of_truth)), rel=1e-5)


def test_balanced_class_weights_sum_to_the_same_for_each_class(flowers):
    schema, split = flowers
    weight = apply_class_weights(split, schema, "balanced").weight
    totals = [weight[split.target == code].sum() for code in range(3)]
    np.testing.assert_allclose(totals, [len(weight) / 3] * 3, rtol=1e-5)
    assert apply_class_weights(split, schema, "none").weight is None


@pytest.mark.parametrize("rows_at_once", [8192, 70])  # 96 rows in one batch, or in two of 70 and 26
def test_the_loss_of_an_auxiliary_output_counts_with_its_weight(spec_of, flowers, monkeypatch, rows_at_once):
    monkeypatch.setattr("models.training.epoch.VALIDATION_ROWS", rows_at_once)
    schema, split = flowers
    spec = spec_of(family="wide_deep", auxiliary_weight=0.1)
    history = fit(spec, schema, split, split, epochs=1, patience=1, seed=0, **LOSS).history
    expected = 0.9 * history["val_prediction_loss"][0] + 0.1 * history["val_auxiliary_loss"][0]
    assert history["val_loss"][0] == pytest.approx(expected, rel=1e-5)


def test_each_member_of_an_ensemble_has_its_own_loss(spec_of, flowers):
    schema, split = flowers
    spec = spec_of(family="ensemble", members=3)
    network = build.build(spec, schema)
    trainer = compile_trainer(network, spec, schema, split, split, 1)
    members = network(split.features, training=True)
    assert members.shape == (96, 3, 3)
    each = [heads.loss(spec, schema)(split.target, members[:, k]) for k in range(3)]
    loss = trainer.compute_loss(None, tf.constant(split.target), members)
    assert float(loss) == pytest.approx(np.mean(each), rel=1e-5)
    np.testing.assert_allclose(network(split.features), np.mean(members, axis=1), atol=1e-6)


def test_rows_that_are_dealt_to_all_members_are_dealt_to_none(spec_of, flowers):
    schema, split = flowers
    histories = [
        fit(spec_of(family="ensemble", members=4, members_per_row=per_row), schema, split, split, epochs=2, patience=2,
            seed=0, **LOSS).history
        for per_row in (None, 4)
    ]  # fmt: skip
    assert histories[0] == histories[1]


def test_a_row_and_its_label_are_dealt_to_some_members_of_an_ensemble(spec_of, flowers):
    schema, split = flowers
    spec = spec_of(family="ensemble", members=4, members_per_row=2)
    network = build.build(spec, schema)
    whole = build.build(spec.model_copy(update={"members_per_row": None}), schema)
    whole.set_weights(network.get_weights())
    trainer = compile_trainer(network, spec, schema, split, split, 1)
    dealt, all_members = network(split.features, training=True), np.asarray(whole(split.features, training=True))
    assert dealt.shape == (48, 4, 3)
    # Twice in turn to the members, the second time two members and two rows further.
    rows, learning = np.array([(i + shift, i % 4) for shift in (0, -2) for i in range(96)]).T
    expected = all_members[rows % 96, learning]
    np.testing.assert_allclose(np.reshape(dealt, (192, 3)), expected, atol=1e-6)
    loss = trainer.compute_loss(None, tf.constant(split.target), dealt)
    assert float(loss) == pytest.approx(float(heads.loss(spec, schema)(split.target[rows % 96], expected)), rel=1e-5)


def test_a_batch_that_cannot_be_dealt_evenly_goes_to_every_member(spec_of, flowers):
    schema, split = flowers
    network = build.build(spec_of(family="ensemble", members=4, members_per_row=1), schema)
    assert network(split.features[:95], training=True).shape == (95, 4, 3)
