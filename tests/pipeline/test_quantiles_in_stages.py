"""Quantiles of a number on their way through the stages: schema, search, choice, figures."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from contracts.errors import UserError
from contracts.metrics import BY_NAME
from contracts.schema import NumericTarget
from contracts.settings.gates import Gates
from contracts.settings.load import Source, load_params
from models.search.workers.pool import Pool
from pipeline.commands import registry
from pipeline.data.schema_inference import infer_schema
from pipeline.evaluation.baselines import baseline_input
from pipeline.evaluation.gates.problems import gate_problems
from pipeline.paths import Paths
from pipeline.search.plan import make_plan
from pipeline.search.train import search_and_export
from pipeline.stages import evaluate, fetch, preprocess, select
from pipeline.tables import TARGET
from serving.predictor import Predictor
from tests.pipeline.judged import Judged
from tests.serving.bundles import PRICES, QUANTILES
from tests.settings_files import ROOT, change_yaml, copy_settings, override

LOSS = BY_NAME["quantile_loss"]
LEVELS = (0.1, 0.5, 0.9)


def source(**changes) -> Source:
    return Source(source="scikit-learn", task="regression", quantiles=LEVELS, **changes)


def test_the_schema_has_the_quantiles_of_the_train_rows_and_the_baseline_predicts_them() -> None:
    y = np.random.default_rng(0).exponential(size=200)
    rows = pa.table({"a": np.arange(200.0), TARGET: y})
    schema = infer_schema("d", source(), rows, "md5")
    assert schema.levels == LEVELS
    assert isinstance(schema.target, NumericTarget)
    expected = np.quantile(y, LEVELS)
    assert [value for _, value in schema.target.quantiles] == pytest.approx(expected)
    above = y[:, None] - expected
    by_hand = np.mean(np.maximum(np.array(LEVELS) * above, (np.array(LEVELS) - 1) * above))
    assert LOSS.compute(y, baseline_input(LOSS, schema, 200)) == pytest.approx(by_hand, rel=1e-5)
    assert baseline_input(BY_NAME["rmse"], schema, 2) == pytest.approx([y.mean()] * 2)
    several = pa.table({"a": np.arange(200.0), TARGET: pa.array([{"x": v, "y": 2 * v} for v in y])})
    with pytest.raises(UserError, match="expected one number for data"):
        infer_schema("d", source(), several, "md5")


def test_a_schema_without_quantiles_is_written_as_before() -> None:
    assert "quantiles" not in PRICES.model_dump()["target"]
    assert type(QUANTILES).model_validate_json(QUANTILES.model_dump_json()) == QUANTILES


def test_a_gate_may_be_about_the_loss_of_quantiles_where_there_are_some(tmp_path) -> None:
    judged = Judged(QUANTILES, tmp_path)
    quantiles = judged.predictor.outputs(judged.rows)
    above = judged.right[:, None] - quantiles
    loss = np.mean(np.maximum(np.array(QUANTILES.levels) * above, (np.array(QUANTILES.levels) - 1) * above))
    for limit, passes in ((loss * 1.01, True), (loss * 0.99, False)):
        found = judged(values={"quantile_loss": limit}, bounds={"quantile_loss": 10.0})
        assert (found["values.quantile_loss"].passed, found["bounds.quantile_loss"].passed) == (passes, True)
    judged.frame.to_parquet(tmp_path / "validation.parquet")
    gates = Gates(values={"quantile_loss": 1.0})
    assert not gate_problems(gates, QUANTILES, tmp_path / "validation.parquet")
    (problem,) = gate_problems(gates, PRICES, tmp_path / "validation.parquet")
    assert "expected a metric of regression (rmse, mae, r2, rmsle, mape), received 'quantile_loss'" in str(problem)


def test_a_search_is_ranked_by_the_loss_and_a_champion_of_other_quantiles_is_replaced(
    tmp_path, monkeypatch, no_report
) -> None:
    settings, paths = copy_settings(tmp_path), Paths("diabetes")
    for name in ("contracts", "serving", "pipeline"):  # a registered model has the code that reads it
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'var/mlflow.db'}")
    search = {"n_trials": 1, "keep": 1, "workers": 1, "finalist_seeds": 0}
    data = {"source": "scikit-learn", "task": "regression"}
    override(settings, "diabetes", data=data | {"quantiles": [0.05, 0.5, 0.95]}, search=search, train={"epochs": 20})
    change_yaml(settings, lambda content: content["evaluate"].update(bootstrap_samples=50))
    params = load_params(settings, "diabetes")
    for stage in (fetch, preprocess):
        stage.run(params, paths)
    with Pool() as pool:
        search_and_export(make_plan(params, paths), paths, pool)
    select.run(params, paths)
    evaluate.run(params, paths)
    chosen, figures = read(paths.selection), read(paths.metrics)
    assert (chosen["metric"], Predictor(paths.bundle).schema.levels) == ("quantile_loss", (0.05, 0.5, 0.95))
    assert figures["low"]["quantile_loss"] < figures["test"]["quantile_loss"] < figures["baseline"]["quantile_loss"]
    conformal, report = figures["conformal"], paths.report.read_text()
    assert 0.75 < conformal["coverage_90"] <= 1
    assert conformal["below_5"] < 0.3 < conformal["below_50"] < 0.7 < conformal["below_95"]
    assert "quantile_loss" in report
    assert "below at 95 %" in report

    override(settings, "diabetes", data=data | {"quantiles": [0.1, 0.5, 0.9]})
    params = load_params(settings, "diabetes")
    preprocess.run(params, paths)
    select.run(params, paths)
    assert "is possible: its quantiles are not those of the data" in read(paths.selection)["reason"]
    with pytest.raises(UserError, match=r"expected \[0.05, 0.5, 0.95\], as of the winner, received \[0.1, 0.5, 0.9\]"):
        registry.retrain("diabetes", "1")


def read(path: Path) -> dict:
    return json.loads(path.read_text())
