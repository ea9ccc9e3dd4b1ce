"""A training ends with the weights and losses of Keras' own `fit`, and can be resumed."""

import keras
import numpy as np
import pytest

import models.training.fit
from contracts.encoding import predictions_of
from contracts.metrics import BY_NAME
from contracts.settings.load import Train
from models.network import build, heads
from models.search import train_trial
from models.search.trial import TrialTask
from models.training import checkpoint
from models.training.data import Data, Split
from models.training.export import export
from models.training.fine_tuning import reuse_layers
from models.training.fit import TrialDiverged, compile_trainer, fit, shuffled_row_indices
from models.training.optimizers import optimizer

LOSS = {"monitor": "log_loss", "higher_is_better": False}


@pytest.mark.parametrize("compiled_from", [0, 100])
def test_an_epoch_in_one_call_ends_with_the_weights_of_keras_own_fit(compiled_from, spec_of, flowers, monkeypatch):
    monkeypatch.setattr(models.training.fit, "XLA_MIN_STEPS", compiled_from)
    schema, split = flowers
    spec = spec_of(batch_size=36)  # 96 rows: two full batches and a partial one
    keras.utils.set_random_seed(0)
    ours, theirs = build.build(spec, schema), build.build(spec, schema)
    theirs.set_weights(ours.get_weights())
    compile_trainer(ours, spec, schema, split, split, 2).fit(
        shuffled_row_indices(96, 3), steps_per_epoch=1, epochs=2, verbose=0
    )
    theirs.compile("adam", heads.loss(spec, schema))
    theirs.optimizer.learning_rate = spec.learning_rate
    for order in shuffled_row_indices(96, 3).take(2):
        rows = order.numpy()
        theirs.fit(split.features[rows], split.target[rows], batch_size=36, shuffle=False, verbose=0)
    for mine, other in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(mine, other, atol=1e-6)


def test_training_maps_its_rows_into_memory_and_does_not_change_the_file(spec_of, flowers, tmp_path):
    """All trials on a machine then share the memory of one."""
    schema, split = flowers
    data = Data(tmp_path, tmp_path / "schema.json")
    data.save("train", split)
    mapped, before = data.split("train"), (tmp_path / "train.features.npy").read_bytes()
    trainer = compile_trainer(build.build(spec_of(), schema), spec_of(), schema, mapped, mapped, 1)
    history = trainer.fit(shuffled_row_indices(96, 3), steps_per_epoch=1, epochs=2, verbose=0).history
    assert history["loss"][1] < history["loss"][0]
    assert (tmp_path / "train.features.npy").read_bytes() == before
    np.testing.assert_array_equal(mapped.features, split.features)
    mapped.features[0, 0] = 1234  # in this process only
    assert trainer.data[0][0, 0] == 1234
    assert (tmp_path / "train.features.npy").read_bytes() == before


def test_the_dataset_of_row_indices_is_not_autotuned():
    """The end of a training waits for the thread of the autotuner, beside another training up to its own duration."""
    assert shuffled_row_indices(96, 3).options().autotune.enabled is False


def test_a_network_with_zero_initial_weights_does_not_learn_and_one_with_glorot_does(spec_of, flowers):
    schema, split = flowers

    def accuracy(initializer):
        fitted = fit(spec_of(initializer=initializer), schema, split, split, epochs=30, patience=30, seed=0, **LOSS)
        return fitted.history["val_accuracy"][-1]

    most_frequent = max(schema.target.frequencies)
    assert accuracy("zero") == pytest.approx(most_frequent)
    assert accuracy("glorot_uniform") > most_frequent + 0.2


class Killed(Exception):
    pass


@pytest.mark.parametrize(
    "change",
    [
        {"dropout": 0.2}, {"optimizer": "sgd", "schedule": "cosine", "warmup": 1.0}, {"ema": 0.9},
        {"learning_rate": 1e-9, "schedule": "plateau", "decay": 0.1, "plateau_patience": 3},
    ],
    ids=["dropout", "cosine", "averages", "plateau"],
)  # fmt: skip
def test_a_killed_training_resumes_and_ends_with_the_weights_of_an_uninterrupted_one(
    change, spec_of, flowers, tmp_path, monkeypatch
):
    monkeypatch.setattr(checkpoint, "MIN_SECONDS", 0)
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
    assert seen == [0, 1, 2, 3, 4, 5]  # a pruner sees the epochs before the checkpoint, too
    assert resumed.best_epoch == whole.best_epoch
    np.testing.assert_allclose(resumed.history["val_loss"], whole.history["val_loss"], atol=1e-6)
    rates = [fitted.history.get("learning_rate", []) for fitted in (resumed, whole)]  # where a callback changes it
    np.testing.assert_allclose(*rates, rtol=1e-5)
    for mine, other in zip(resumed.network.get_weights(), whole.network.get_weights(), strict=True):
        np.testing.assert_allclose(mine, other, atol=1e-6)
    assert not file.exists()


def test_a_loss_that_is_nan_or_infinite_stops_the_training_with_a_reason(spec_of, data_of):
    schema, split = data_of("regression")
    spec = spec_of(optimizer="sgd", learning_rate=1e6)
    with pytest.raises(TrialDiverged, match="try a lower learning rate"):
        fit(spec, schema, split, split, monitor="rmse", higher_is_better=False, epochs=20, patience=20, seed=0)


@pytest.mark.parametrize("frozen", [True, False])
def test_reused_layers_change_only_where_they_are_not_frozen(frozen, spec_of, flowers, tmp_path):
    schema, split = flowers
    source = build.build(spec_of(), schema)
    source.save(tmp_path / "model.keras")
    reused = source.get_layer("hidden_1").get_weights()[0]
    fitted = fit(spec_of(), schema, split, split, epochs=1, patience=1, seed=9, **LOSS,
                 prepare=lambda network: reuse_layers(network, tmp_path, 1, frozen))  # fmt: skip
    assert np.array_equal(fitted.network.get_layer("hidden_1").get_weights()[0], reused) == frozen
    assert not np.array_equal(
        fitted.network.get_layer("hidden_2").get_weights()[0], source.get_layer("hidden_2").get_weights()[0]
    )


def test_layers_of_another_width_are_not_reused(spec_of, flowers, tmp_path):
    schema, _ = flowers
    build.build(spec_of(width=5), schema).save(tmp_path / "model.keras")
    with pytest.raises(ValueError, match="expected weights of"):
        reuse_layers(build.build(spec_of(), schema), tmp_path, 1, False)


@pytest.mark.parametrize(
    "change",
    [
        {"ema": 0.9}, {"schedule": "plateau", "decay": 0.5, "plateau_patience": 1},
        {"schedule": "exponential", "decay": 0.1}, {"optimizer": "nadam"}, {"optimizer": "rmsprop"},
        {"optimizer": "adamw", "schedule": "time", "decay": 0.1},
        {"optimizer": "sgd", "nesterov": True}, {"schedule": "coslog4", "beta_2": 0.95},
        {"family": "ensemble", "members": 4, "members_per_row": 1},
    ],
)  # fmt: skip
def test_every_optimizer_and_schedule_learns(change, spec_of, flowers):
    schema, split = flowers
    history = fit(spec_of(**change), schema, split, split, epochs=8, patience=8, seed=0, **LOSS).history
    assert history["val_loss"][-1] < history["val_loss"][0]


def test_the_weights_of_the_best_epoch_are_kept_also_with_averaged_weights(spec_of, flowers):
    schema, split = flowers
    for ema in (0.0, 0.9):
        fitted = fit(spec_of(ema=ema, learning_rate=0.1), schema, split, split, epochs=6, patience=6, seed=0, **LOSS)
        p = np.asarray(fitted.network(split.features))[np.arange(96), split.target]
        kept = fitted.history["val_log_loss"][fitted.best_epoch]
        assert np.mean(-np.log(p)) == pytest.approx(kept, rel=1e-4)
        assert kept == min(fitted.history["val_log_loss"])


@pytest.mark.parametrize(
    ("task", "name", "family"),
    [("binary", "roc_auc", "sequential"), ("multiclass", "pr_auc", "ensemble"), ("regression", "mape", "wide_deep")],
)
def test_a_metric_that_keras_does_not_have_decides_like_any_other(task, name, family, spec_of, data_of):
    (schema, split), metric = data_of(task), BY_NAME[name]
    spec = spec_of(family=family, members=3, learning_rate=0.1)
    direction = {"monitor": name, "higher_is_better": metric.higher_is_better}
    fitted = fit(spec, schema, split, split, epochs=4, patience=4, seed=0, **direction)
    values = fitted.history[f"val_{name}"]
    predictions = predictions_of(schema, np.asarray(fitted.network(split.features)))
    assert values[fitted.best_epoch] == (max if metric.higher_is_better else min)(values)
    assert metric.compute(split.target, predictions) == pytest.approx(values[fitted.best_epoch], rel=1e-4)


@pytest.mark.parametrize(("precision", "family"), [("mixed_bfloat16", "ensemble"), ("mixed_float16", "sequential")])
def test_a_network_trained_in_mixed_precision_is_exported_in_float32(precision, family, spec_of, flowers, tmp_path):
    schema, split = flowers
    spec = spec_of(precision=precision, family=family, members=3)
    fitted = fit(spec, schema, split, split, epochs=10, patience=10, seed=0, **LOSS)
    assert fitted.history["val_loss"][-1] < 0.8 * fitted.history["val_loss"][0]
    export(fitted.network, tmp_path, split.features)  # raises where ONNX and Keras differ by more than 1e-5
    p = np.asarray(fitted.network(split.features))[np.arange(96), split.target]
    assert np.mean(-np.log(p)) == pytest.approx(fitted.history["val_log_loss"][fitted.best_epoch], rel=0.02)
    assert keras.config.dtype_policy().name == "float32"


def test_only_float16_training_scales_the_loss(spec_of):
    scaled = {
        precision: isinstance(optimizer(spec_of(precision=precision), 1, 1), keras.optimizers.LossScaleOptimizer)
        for precision in ("float32", "mixed_bfloat16", "mixed_float16")
    }
    assert scaled == {"float32": False, "mixed_bfloat16": False, "mixed_float16": True}


@pytest.mark.parametrize("restarts", [1, 3])
def test_the_best_of_several_initialisations_is_kept_and_all_values_are_reported(restarts, flowers, spec_of, tmp_path):
    schema, split = flowers
    data = Data(tmp_path, tmp_path / "schema.json")
    data.schema.write_text(schema.model_dump_json())
    for part in ("train", "validation"):
        data.save(part, split)
    settings = Train(epochs=3, patience=3, restarts=restarts, class_weights="none", fine_tune=None)
    hyperparameters = spec_of().model_dump()
    task = TrialTask(data, hyperparameters, 7, "log_loss", False, settings, report_every=1, threads=0)
    reported = []
    result = train_trial.train(task, tmp_path / "model.keras", lambda epoch, value: reported.append(epoch))
    assert len(set(result.values_of_restarts)) == restarts
    assert result.value == min(result.values_of_restarts)
    assert reported == [0, 1, 2]  # only the first initialisation reports: a trial is pruned once
    kept = keras.models.load_model(tmp_path / "model.keras", compile=False)
    p = np.asarray(kept(split.features))[np.arange(96), split.target]
    assert np.mean(-np.log(p)) == pytest.approx(result.value, rel=1e-4)


def test_a_split_is_the_same_after_saving_with_and_without_weights(tmp_path):
    data = Data(tmp_path, tmp_path / "schema.json")
    rows = np.ones((3, 2), np.float32)
    data.save("train", Split(rows, np.arange(3), np.array([1.0, 2.0, 3.0])))
    data.save("validation", Split(rows, np.arange(3)))
    assert data.split("train").weight.tolist() == [1, 2, 3]
    assert data.split("validation").weight is None
