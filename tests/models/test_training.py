"""A training is Keras' own, only faster: the same weights, the same losses, and it can be gone on with."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import models.training.fit
from contracts.settings.load import Train
from models.network import build, heads
from models.search import worker
from models.search.trial import TrialTask
from models.training import checkpoint
from models.training.data import Data, Split
from models.training.export import export
from models.training.fit import TrialDiverged, compiled, fit, shuffled_row_indices
from models.training.optimizers import optimizer
from models.training.weights import start_from, weighted

LOSS = {"monitor": "log_loss", "higher_is_better": False}


@pytest.fixture(scope="module")
def flowers(data_of):
    return data_of("multiclass")


@pytest.mark.parametrize("compiled_from", [0, 100])
def test_a_fused_epoch_ends_with_the_weights_of_keras_own_fit(compiled_from, spec_of, flowers, monkeypatch):
    monkeypatch.setattr(models.training.fit, "STEPS_WORTH_COMPILING", compiled_from)
    schema, split = flowers
    spec = spec_of(batch_size=36)  # 96 rows: two full batches and a partial one
    keras.utils.set_random_seed(0)
    ours, theirs = build.build(spec, schema), build.build(spec, schema)
    theirs.set_weights(ours.get_weights())
    compiled(ours, spec, schema, split, split, 2).fit(
        shuffled_row_indices(96, 3), steps_per_epoch=1, epochs=2, verbose=0
    )
    theirs.compile("adam", heads.loss(spec, schema))
    theirs.optimizer.learning_rate = spec.learning_rate
    for order in shuffled_row_indices(96, 3).take(2):
        rows = order.numpy()
        theirs.fit(split.features[rows], split.target[rows], batch_size=36, shuffle=False, verbose=0)
    for mine, other in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(mine, other, atol=1e-6)


def test_rows_in_a_file_are_not_copied_and_training_does_not_change_them(spec_of, flowers, tmp_path):
    """So that as many trials as there are cores need the memory of one."""
    schema, split = flowers
    data = Data(tmp_path, tmp_path / "schema.json")
    data.save("train", split)
    mapped, before = data.split("train"), (tmp_path / "train.features.npy").read_bytes()
    trainer = compiled(build.build(spec_of(), schema), spec_of(), schema, mapped, mapped, 1)
    history = trainer.fit(shuffled_row_indices(96, 3), steps_per_epoch=1, epochs=2, verbose=0).history
    assert history["loss"][1] < history["loss"][0]
    assert (tmp_path / "train.features.npy").read_bytes() == before
    np.testing.assert_array_equal(mapped.features, split.features)
    mapped.features[0, 0] = 1234  # in this process alone
    assert trainer.data[0][0, 0] == 1234
    assert (tmp_path / "train.features.npy").read_bytes() == before


def test_the_orders_of_the_rows_are_not_tuned_by_a_thread_that_the_end_of_a_training_would_wait_for():
    """With it, a training of s seconds beside another one ended up to s seconds late."""
    assert shuffled_row_indices(96, 3).options().autotune.enabled is False


def test_a_network_that_starts_from_zeros_does_not_learn_and_one_from_glorot_does(spec_of, flowers):
    schema, split = flowers

    def accuracy(initializer):
        fitted = fit(spec_of(initializer=initializer), schema, split, split, epochs=30, patience=30, seed=0, **LOSS)
        return fitted.history["val_accuracy"][-1]

    most_frequent = max(schema.target.frequencies)
    assert accuracy("zero") == pytest.approx(most_frequent)
    assert accuracy("glorot_uniform") > most_frequent + 0.2


def test_weights_of_rows_and_of_classes_are_multiplied_and_weigh_the_loss(spec_of, flowers):
    schema, split = flowers
    rows = np.linspace(0.5, 2, len(split.target)).astype(np.float32)
    of_classes = {"low": 3.0, "high": 0.5}
    counted = weighted(split._replace(weight=rows), schema, of_classes)
    factors = np.array([of_classes.get(schema.classes[code], 1.0) for code in split.target])
    np.testing.assert_allclose(counted.weight, rows * factors)
    spec = spec_of()
    network = build.build(spec, schema)
    trainer = compiled(network, spec, schema, counted, split, 1)
    loss = float(trainer.compute_loss(None, tf.constant(split.target), network(split.features), counted.weight))
    of_truth = np.asarray(network(split.features))[np.arange(len(split.target)), split.target]
    assert loss == pytest.approx(np.mean(rows * factors * -np.log(of_truth)), rel=1e-5)


def test_balanced_classes_count_the_same_in_all(flowers):
    schema, split = flowers
    weight = weighted(split, schema, "balanced").weight
    totals = [weight[split.target == code].sum() for code in range(3)]
    np.testing.assert_allclose(totals, [len(weight) / 3] * 3, rtol=1e-5)
    assert weighted(split, schema, "none").weight is None


def test_an_auxiliary_output_shares_the_loss_as_its_weight_says(spec_of, flowers):
    schema, split = flowers
    spec = spec_of(family="wide_deep", auxiliary_weight=0.1)
    history = fit(spec, schema, split, split, epochs=1, patience=1, seed=0, **LOSS).history
    expected = 0.9 * history["val_prediction_loss"][0] + 0.1 * history["val_auxiliary_loss"][0]
    assert history["val_loss"][0] == pytest.approx(expected, rel=1e-5)


def test_each_member_of_an_ensemble_has_a_loss_of_its_own(spec_of, flowers):
    schema, split = flowers
    spec = spec_of(family="ensemble", members=3)
    network = build.build(spec, schema)
    trainer = compiled(network, spec, schema, split, split, 1)
    members = network(split.features, training=True)
    assert members.shape == (96, 3, 3)
    each = [heads.loss(spec, schema)(split.target, members[:, k]) for k in range(3)]
    loss = trainer.compute_loss(None, tf.constant(split.target), members)
    assert float(loss) == pytest.approx(np.mean(each), rel=1e-5)
    np.testing.assert_allclose(network(split.features), np.mean(members, axis=1), atol=1e-6)


class Killed(Exception):
    pass


@pytest.mark.parametrize("change", [{"dropout": 0.2}, {"optimizer": "sgd", "schedule": "cosine", "warmup": 1.0}])
def test_a_killed_training_goes_on_and_ends_where_the_uninterrupted_one_does(
    change, spec_of, flowers, tmp_path, monkeypatch
):
    monkeypatch.setattr(checkpoint.Checkpoint.__init__, "__defaults__", (0.0,))
    schema, split = flowers
    settings = {"epochs": 6, "patience": 6, "seed": 5, **LOSS}
    whole = fit(spec_of(**change), schema, split, split, **settings)

    def kill(epoch, value):
        if epoch == 3:
            raise Killed

    file = tmp_path / "checkpoint.npz"
    with pytest.raises(Killed):
        fit(spec_of(**change), schema, split, split, **settings, checkpoint=file, on_epoch=kill)
    seen = []
    resumed = fit(spec_of(**change), schema, split, split, **settings, checkpoint=file,
                  on_epoch=lambda epoch, value: seen.append(epoch))  # fmt: skip
    assert seen == [3, 4, 5]
    assert resumed.best_epoch == whole.best_epoch
    np.testing.assert_allclose(resumed.history["val_loss"], whole.history["val_loss"], atol=1e-6)
    for mine, other in zip(resumed.network.get_weights(), whole.network.get_weights(), strict=True):
        np.testing.assert_allclose(mine, other, atol=1e-6)
    assert not file.exists()


def test_a_loss_that_is_no_number_ends_the_training_with_its_reason(spec_of, data_of):
    schema, split = data_of("regression")
    spec = spec_of(optimizer="sgd", learning_rate=1e6)
    with pytest.raises(TrialDiverged, match="try a lower learning rate"):
        fit(spec, schema, split, split, monitor="rmse", higher_is_better=False, epochs=20, patience=20, seed=0)


@pytest.mark.parametrize("frozen", [True, False])
def test_lower_layers_start_from_another_bundle_and_move_only_if_not_frozen(frozen, spec_of, flowers, tmp_path):
    schema, split = flowers
    source = build.build(spec_of(), schema)
    source.save(tmp_path / "model.keras")
    theirs = source.get_layer("hidden_1").get_weights()[0]
    fitted = fit(spec_of(), schema, split, split, epochs=1, patience=1, seed=9, **LOSS,
                 prepare=lambda network: start_from(network, tmp_path, 1, frozen))  # fmt: skip
    assert np.array_equal(fitted.network.get_layer("hidden_1").get_weights()[0], theirs) == frozen
    assert not np.array_equal(
        fitted.network.get_layer("hidden_2").get_weights()[0], source.get_layer("hidden_2").get_weights()[0]
    )


def test_layers_of_another_width_are_refused(spec_of, flowers, tmp_path):
    schema, _ = flowers
    build.build(spec_of(width=5), schema).save(tmp_path / "model.keras")
    with pytest.raises(ValueError, match="expected weights of"):
        start_from(build.build(spec_of(), schema), tmp_path, 1, False)


@pytest.mark.parametrize(
    "change",
    [
        {"ema": 0.9}, {"schedule": "plateau", "decay": 0.5, "plateau_patience": 1},
        {"schedule": "exponential", "decay": 0.1}, {"optimizer": "nadam"}, {"optimizer": "rmsprop"},
        {"optimizer": "adamw", "schedule": "time", "decay": 0.1},
        {"optimizer": "sgd", "nesterov": True},
    ],
)  # fmt: skip
def test_every_optimizer_and_schedule_learns(change, spec_of, flowers):
    schema, split = flowers
    history = fit(spec_of(**change), schema, split, split, epochs=8, patience=8, seed=0, **LOSS).history
    assert history["val_loss"][-1] < history["val_loss"][0]


def test_the_kept_weights_are_those_of_the_best_epoch_averaged_weights_too(spec_of, flowers):
    schema, split = flowers
    for ema in (0.0, 0.9):
        fitted = fit(spec_of(ema=ema, learning_rate=0.1), schema, split, split, epochs=6, patience=6, seed=0, **LOSS)
        p = np.asarray(fitted.network(split.features))[np.arange(96), split.target]
        kept = fitted.history["val_log_loss"][fitted.best_epoch]
        assert np.mean(-np.log(p)) == pytest.approx(kept, rel=1e-4)
        assert kept == min(fitted.history["val_log_loss"])


@pytest.mark.parametrize("family", ["sequential", "ensemble"])
@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_a_network_trained_in_mixed_precision_is_served_in_32_bits(precision, family, spec_of, flowers, tmp_path):
    schema, split = flowers
    spec = spec_of(precision=precision, family=family, members=3)
    fitted = fit(spec, schema, split, split, epochs=10, patience=10, seed=0, **LOSS)
    assert fitted.history["val_loss"][-1] < 0.8 * fitted.history["val_loss"][0]
    export(fitted.network, tmp_path, split.features)  # raises where ONNX and Keras differ by more than 1e-5
    p = np.asarray(fitted.network(split.features))[np.arange(96), split.target]
    assert np.mean(-np.log(p)) == pytest.approx(fitted.history["val_log_loss"][fitted.best_epoch], rel=0.02)
    assert keras.config.dtype_policy().name == "float32"


def test_only_16_bit_floats_with_a_short_exponent_have_their_loss_scaled(spec_of):
    scaled = {
        precision: isinstance(optimizer(spec_of(precision=precision), 1, 1), keras.optimizers.LossScaleOptimizer)
        for precision in ("float32", "mixed_bfloat16", "mixed_float16")
    }
    assert scaled == {"float32": False, "mixed_bfloat16": False, "mixed_float16": True}


@pytest.mark.parametrize("restarts", [1, 3])
def test_the_best_of_several_initialisations_is_kept_and_all_values_are_told(restarts, flowers, spec_of, tmp_path):
    schema, split = flowers
    data = Data(tmp_path, tmp_path / "schema.json")
    data.schema.write_text(schema.model_dump_json())
    for part in ("train", "validation"):
        data.save(part, split)
    settings = Train(epochs=3, patience=3, restarts=restarts, class_weights="none", fine_tune=None)
    hyperparameters = spec_of().model_dump()
    task = TrialTask(data, hyperparameters, 7, "log_loss", False, settings, report_every=1, threads=0)
    reported = []
    result = worker.train(task, tmp_path / "model.keras", lambda epoch, value: reported.append(epoch))
    assert len(set(result.values_of_restarts)) == restarts
    assert result.value == min(result.values_of_restarts)
    assert reported == [0, 1, 2]  # a trial can be pruned only once, so only the first tells
    kept = keras.models.load_model(tmp_path / "model.keras", compile=False)
    p = np.asarray(kept(split.features))[np.arange(96), split.target]
    assert np.mean(-np.log(p)) == pytest.approx(result.value, rel=1e-4)


def test_rows_of_a_split_survive_the_way_to_a_worker_with_and_without_weights(tmp_path):
    data = Data(tmp_path, tmp_path / "schema.json")
    rows = np.ones((3, 2), np.float32)
    data.save("train", Split(rows, np.arange(3), np.array([1.0, 2.0, 3.0])))
    data.save("validation", Split(rows, np.arange(3)))
    assert data.split("train").weight.tolist() == [1, 2, 3]
    assert data.split("validation").weight is None
