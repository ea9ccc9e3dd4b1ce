"""Ensembles of trials: their selection, their network, and their way from the search to a trained-again winner."""

from pathlib import Path

import keras
import mlflow
import numpy as np
import optuna
import pytest
import typer

from contracts.bundle import Calibration, open_bundle
from contracts.errors import UserError
from contracts.metrics import BY_NAME
from contracts.settings.load import load_params
from models.network.average import Average
from models.network.build import build
from models.search.greedy import DRAWS, cross_fitted, select_greedily
from models.search.train_trial import export_bundle
from models.search.trial import TrialFiles
from models.search.workers.pool import Pool
from models.training.calibration import apply_calibration, member_probabilities, member_weights, predict
from models.training.data import Data, Split
from models.training.export import inference_model
from pipeline.commands import registry
from pipeline.evaluation.comparison import Comparison
from pipeline.paths import Paths
from pipeline.search import ensembles
from pipeline.search.plan import make_plan
from pipeline.search.train import search_and_export
from pipeline.stages import evaluate, fetch, preprocess, select
from serving.predictor import Predictor
from tests.models.instant import iris, plan_of
from tests.models.test_calibration import as_calibrated
from tests.models.wine import ROOT, SPACE
from tests.settings_files import copy_settings, override

RMSE = BY_NAME["rmse"]
SEARCH = {"n_trials": 2, "keep": 2, "workers": 1, "space": SPACE, "ensemble": 2}
TRAIN = {"epochs": 4, "patience": 4}


def noisy(n_models: int, n_rows: int = 60, shared: float = 0.0) -> tuple[np.ndarray, list[np.ndarray]]:
    """Targets, and predictions whose errors have a part in common."""
    random = np.random.default_rng(1)
    y, common = random.normal(size=n_rows), random.normal(size=n_rows)
    return y, [y + shared * common + random.normal(size=n_rows) for _ in range(n_models)]


def test_models_whose_errors_differ_are_selected_and_one_that_harms_is_not() -> None:
    y, (a, b) = noisy(2)
    counts = select_greedily(RMSE, y, [a, b, y + 100], most=3)
    assert counts[:2].all()
    assert not counts[2]
    assert RMSE.compute(y, np.average([a, b], axis=0, weights=counts[:2])) < 0.8 * RMSE.compute(y, a)


def test_no_more_models_than_asked_for_are_selected_also_where_higher_is_better() -> None:
    y, models = noisy(10)
    for metric, target in ((RMSE, y), (BY_NAME["r2"], y)):
        for most in (1, 3):
            counts = select_greedily(metric, target, models, most)
            assert np.count_nonzero(counts) == most
            assert counts.sum() <= DRAWS


def test_a_selection_flatters_itself_but_not_on_rows_that_it_has_not_seen() -> None:
    y, models = noisy(40, shared=1.0)
    counts = select_greedily(RMSE, y, models, most=8)
    own = RMSE.compute(y, np.average(models, axis=0, weights=counts))
    assert own < 0.98 * RMSE.compute(y, cross_fitted(RMSE, y, models, most=8, seed=0))


class Selected(Exception):
    """The networks of an ensemble are asked for."""


class Predictions:
    """In the place of a pool: the predictions of networks that nobody has trained."""

    def __init__(self, predictions: list[np.ndarray]) -> None:
        self.predictions = predictions

    def start(self, job: None, function: str, *arguments) -> None:
        if function == "average":
            raise Selected

    def result(self) -> list[np.ndarray]:
        return self.predictions


@pytest.fixture
def tried(tmp_path):
    """What comes of trials with such predictions."""

    def outcome(y: np.ndarray, predictions: list[np.ndarray], **search) -> str:
        data, files, trials = Data(tmp_path, tmp_path / "schema.json"), TrialFiles(tmp_path / "trials"), []
        data.save("validation", Split(y[:, None], y))
        for number, values in enumerate(predictions):
            files.network(number).parent.mkdir(parents=True, exist_ok=True)
            files.network(number).touch()
            attributes = {"seed": number, "threads": 1, "hyperparameters": {}}
            trials.append(optuna.trial.create_trial(value=RMSE.compute(y, values), user_attrs=attributes))
            trials[-1].number = number
        plan = plan_of(iris(ensemble=3, **search), RMSE)
        bundles = {tmp_path / "1": trials[0]}
        said: list[str] = []
        pool, log = Predictions(predictions), lambda _: ""
        found = ensembles.add_ensemble(
            plan, bundles, trials, files, Paths("iris", tmp_path), pool, data, log, said.append
        )
        assert found == bundles
        return said[0]

    return outcome


def test_an_ensemble_is_made_only_where_it_is_better_beyond_noise_and_tolerance(tried) -> None:
    y, apart = noisy(4, n_rows=200)
    with pytest.raises(Selected):
        tried(y, apart)
    assert "expected more than 0.9" in tried(y, apart, second_objective="parameters", tolerance=0.9)
    said = tried(*noisy(4, n_rows=20, shared=2.0))
    assert "rmse better by 0.0543 than that of the best network, expected beyond noise (p 0.23)" in said
    assert tried(y, apart[:1]) == "no ensemble: it needs the networks of two trials"


@pytest.mark.parametrize("task", ["multiclass", "binary", "multilabel", "regression"])
def test_a_mean_of_different_networks_is_saved_calibrated_and_exported_as_one(task, spec_of, data_of, tmp_path) -> None:
    schema, split = data_of(task)
    specs = [spec_of(), spec_of(family="ensemble", members=3), spec_of(family="wide_deep", auxiliary_weight=0.3)]
    networks = [inference_model(build(spec, schema)) for spec in specs]
    parts = [np.asarray(network(split.features)) for network in networks]
    shares = [0.5, 0.25, 0.25]
    expected = np.average(parts, axis=0, weights=shares)
    average = Average(networks, shares, name="mean")
    average.build((None, schema.input_width))
    average.save(tmp_path / "saved.keras")
    loaded = keras.models.load_model(tmp_path / "saved.keras", compile=False)
    np.testing.assert_allclose(predict(loaded, split.features), expected, rtol=1e-5, atol=1e-6)

    schema.save(tmp_path / "schema.json")
    data = Data(tmp_path, tmp_path / "schema.json")
    data.save("validation", split)
    reason = export_bundle(tmp_path / "saved.keras", tmp_path / "bundle", data, False, lambda *_: None)
    assert reason is None, "the exported graph agrees with the network"
    if task == "regression":
        return
    n = 1 if task == "multiclass" else expected.shape[1]
    shift = (0.0,) if task == "multiclass" else (0.3, -0.2)[:n]
    calibration = Calibration(scale=(0.4, 2.0)[:n], shift=shift, log_loss_before=1, log_loss_cross_fitted=1)
    before = member_probabilities(loaded, split.features).astype(np.float64)
    members = [as_calibrated(before[:, [i]], calibration, task) for i in range(before.shape[1])]
    apply_calibration(loaded, calibration)
    np.testing.assert_allclose(
        predict(loaded, split.features), np.average(members, axis=0, weights=member_weights(loaded)), atol=1e-5
    )


@pytest.fixture
def wine(tmp_path, monkeypatch) -> Path:
    """A folder with wine, prepared, and settings for a short search with ensembles."""
    settings = copy_settings(tmp_path)
    override(settings, "wine", search=SEARCH, train=TRAIN)
    for name in ("contracts", "serving", "pipeline"):  # a registered model has the code that reads it
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'var/mlflow.db'}")
    for stage in (fetch, preprocess):
        stage.run(load_params(settings, "wine"), Paths("wine"))
    return settings


def search(settings: Path) -> Paths:
    params, paths = load_params(settings, "wine"), Paths("wine")
    with Pool() as pool:
        search_and_export(make_plan(params, paths), paths, pool)
    return paths


def compared(p_value: float):
    return lambda *_, **__: Comparison(gain=1.0, low=0.5, high=1.5, p_value=p_value, rows=30)


def test_an_ensemble_is_a_candidate_where_it_is_better_and_goes_the_way_of_every_other(
    wine, monkeypatch, capsys
) -> None:
    monkeypatch.setattr(ensembles, "select_greedily", lambda metric, y, predictions, most: np.array([3, 1]))
    monkeypatch.setattr(ensembles, "compare", compared(p_value=0.4))
    paths = search(wine)
    assert not open_bundle(paths.candidates / "1")[0].members
    assert "wine: no ensemble: log_loss better by 1 than" in capsys.readouterr().out

    monkeypatch.setattr(ensembles, "compare", compared(p_value=0.01))
    paths = search(wine)  # nothing is left to train
    assert sorted(path.name for path in paths.candidates.iterdir() if path.is_dir()) == ["1", "2", "3"]
    (manifest, _), (first, _), (second, _) = (open_bundle(paths.candidates / rank) for rank in "123")
    assert [member.trial for member in manifest.members] == [first.trial, second.trial]
    assert manifest.n_parameters == first.n_parameters + second.n_parameters
    parts = [Predictor(paths.candidates / rank) for rank in "123"]
    assert [part.manifest.calibration for part in parts] == [None] * 3, "too few rows"
    rows = np.random.default_rng(0).normal(size=(5, 13)).astype(np.float32)
    mean, *others = [part.predict(rows) for part in parts]
    np.testing.assert_allclose(mean, 0.75 * others[0] + 0.25 * others[1], atol=1e-5)
    run = mlflow.MlflowClient().get_run(manifest.mlflow_run_id)
    assert run.data.metrics["best.val_log_loss"] == manifest.validation["log_loss"]
    assert run.data.params[f"trial {first.trial} seed {first.seed}"] == "0.75"

    params = load_params(wine, "wine")
    select.run(params, paths)
    evaluate.run(params, paths)
    assert open_bundle(paths.bundle)[0].members == manifest.members
    assert manifest.made_of in paths.report.read_text()
    with pytest.raises(typer.Exit) as ended:
        registry.retrain("wine", None)
    printed = capsys.readouterr()
    assert ended.value.exit_code == 0, printed.out
    assert "without" not in printed.err, "MLflow and the report take an ensemble"

    anyway = {"confidence": 0.01, "tolerance": 0.9}  # few rows tell no candidate from the champion
    override(wine, "wine", search={**SEARCH, "distil": True}, train=TRAIN, select=anyway)
    search(wine)
    assert "the ensemble stays the first candidate: no network imitates it well enough" in capsys.readouterr().out
    assert open_bundle(paths.candidates / "1")[0].members == manifest.members

    monkeypatch.setattr(ensembles, "gain_of", lambda *_: 1.0)
    search(wine)
    assert "one network that imitates it is the first candidate" in capsys.readouterr().out
    assert sorted(path.name for path in paths.candidates.iterdir() if path.is_dir()) == ["1", "2", "3", "4"]
    assert open_bundle(paths.candidates / "2")[0].members == manifest.members
    distilled, _ = open_bundle(paths.candidates / "1")
    assert (distilled.members, distilled.teachers) == ((), manifest.members)
    assert (distilled.trial, distilled.n_parameters) == (first.trial, first.n_parameters)
    run = mlflow.MlflowClient().get_run(distilled.mlflow_run_id)
    assert run.data.metrics["best.val_log_loss"] == distilled.validation["log_loss"]
    select.run(load_params(wine, "wine"), paths)
    evaluate.run(load_params(wine, "wine"), paths)
    assert distilled.made_of in paths.report.read_text()
    with pytest.raises(typer.Exit) as ended:
        registry.retrain("wine", None)
    printed = capsys.readouterr()
    assert ended.value.exit_code == 0, printed.out
    assert "without" not in printed.err

    ensemble = paths.candidates / "2"
    override(wine, "wine", train={"fine_tune": {"bundle": str(ensemble), "layers": 1, "frozen": True}})
    with pytest.raises(UserError, match="expected a bundle of one network, received an ensemble of 2"):
        make_plan(load_params(wine, "wine"), paths)
