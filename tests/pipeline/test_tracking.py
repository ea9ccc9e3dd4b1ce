"""Experiments, runs and registered models, in a store of MLflow's own."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

import mlflow
import numpy as np
import pandas as pd
import pytest

from contracts.bundle import BundleDamaged
from contracts.encoding import encode
from contracts.errors import UserError
from contracts.schema import Schema
from pipeline.commands import __main__ as commands
from pipeline.environment import prepare_environment
from pipeline.tracking import lineage, registry, runs
from serving.predictor import Predictor
from tests.serving.bundles import TICKETS, make_bundle

TRAINED_ON = np.array([3, 5, 2**63], np.uint64)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The client of an empty store, and the id of the experiment `tickets` in it."""
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    prepare_environment()
    return runs.connect("tickets")


def log_trial(client, experiment: str, started: int = 1000) -> str:
    parent = runs.study_run(client, experiment, "tickets-1", None)
    return runs.log_trial(client, experiment, parent, "trial 0", "complete", started, {}, {}, {}, {})


def register(client, schema: Schema, folder: Path) -> str:
    make_bundle(schema, folder)
    return registry.register_bundle(client, "tickets", folder, TRAINED_ON, "{}")


def test_an_experiment_opens_in_the_layout_of_model_training_also_an_older_one(store) -> None:
    client, experiment = store
    older = client.create_experiment("older")
    assert runs.connect("older")[1] == older
    for made in (experiment, older):
        assert client.get_experiment(made).tags["mlflow.experimentKind"] == "custom_model_development"


def test_a_run_names_its_source(store, monkeypatch) -> None:
    client, experiment = store
    monkeypatch.setattr("sys.argv", ["pipeline/stages/__main__.py", "train", "tickets"])
    tags = client.get_run(log_trial(client, experiment)).data.tags
    assert tags["mlflow.source.type"] == "LOCAL"
    assert tags["mlflow.source.name"].endswith(" train tickets")


def test_the_duration_of_a_study_is_the_time_of_its_searches(store) -> None:
    client, experiment = store
    run = runs.study_run(client, experiment, "tickets-1", None)
    runs.end_study_run(client, run, "FINISHED", 1.5)
    assert runs.study_run(client, experiment, "tickets-1", run) == run
    assert client.get_run(run).info.status == "RUNNING"
    runs.end_study_run(client, run, "FINISHED", 4.0)  # the second search took 2.5 s, long after the first
    info = client.get_run(run).info
    assert (info.status, info.end_time - info.start_time) == ("FINISHED", 4000)


def test_an_abandoned_trial_does_not_last_until_the_next_search(store) -> None:
    client, experiment = store
    parent = runs.study_run(client, experiment, "tickets-1", None)
    tags = {"trial.number": "0"}
    run = runs.log_trial(client, experiment, parent, "trial 0", "complete", 1000, {}, {}, {}, tags)
    client.set_terminated(run, "FINISHED", 2000)
    runs.abandon_trial(client, experiment, parent, 0)
    info = client.get_run(run).info
    assert (info.status, info.end_time) == ("KILLED", 2000)


def test_registration_does_not_change_the_duration_of_the_trial(store, tmp_path: Path, monkeypatch) -> None:
    client, experiment = store
    run = log_trial(client, experiment)
    client.set_terminated(run, "FINISHED", 2000)
    monkeypatch.setattr(registry.runs, "find_or_create_run", lambda *_: run)
    register(client, TICKETS, tmp_path / "bundle")
    info = client.get_run(run).info
    assert (info.status, info.start_time, info.end_time) == ("FINISHED", 1000, 2000)
    assert client.get_run(run).outputs.model_outputs


def test_a_bundle_whose_sample_has_missing_values_is_registered_and_predicts(store, tmp_path: Path) -> None:
    client, _ = store
    sample = {**TICKETS.sample, "age": None, "deck": None}
    schema = TICKETS.model_copy(update={"sample": sample})
    assert register(client, schema, tmp_path / "bundle") == "1"
    received = mlflow.pyfunc.load_model("models:/tickets/1").predict(pd.DataFrame([sample]))
    expected = Predictor(tmp_path / "bundle").predict(encode(schema, {name: [v] for name, v in sample.items()}))
    np.testing.assert_allclose(received, expected, atol=1e-6)


def test_the_champion_is_the_version_with_the_alias(store, tmp_path: Path) -> None:
    client, _ = store
    assert registry.champion(client, "tickets") is None
    told = registry.expected_version(client, "tickets", None)
    assert told.endswith("one of: none yet (`dvc repro -f select@tickets` registers one); received none")
    versions = [register(client, TICKETS, tmp_path / name / "bundle") for name in ("one", "two")]
    for version in versions:
        client.set_registered_model_alias("tickets", registry.CHAMPION, version)
        assert registry.champion(client, "tickets") == version
    assert registry.versions(client, "tickets") == versions == ["1", "2"]
    (tmp_path / "downloaded").mkdir()
    bundle = registry.download_bundle("tickets", "1", tmp_path / "downloaded")
    assert Predictor(bundle).schema == TICKETS
    assert registry.trained_on(bundle).tolist() == TRAINED_ON.tolist()


def test_a_packaged_version_that_is_not_the_champion_is_told(store, tmp_path: Path) -> None:
    """As after a return to an older commit, whose outputs come from DVC's cache."""
    client, _ = store
    for number in ("1", "2"):
        assert register(client, TICKETS.model_copy(update={"raw_md5": number * 32}), tmp_path / number) == number
    told = f"{tmp_path}/1 is version 1, not the champion: make promote DATASET=tickets VERSION=1 serves and packages it"
    assert registry.packaged_instead(client, "tickets", "2", tmp_path / "1") == told
    assert registry.packaged_instead(client, "tickets", "2", tmp_path / "2") == ""
    assert registry.packaged_instead(client, "tickets", "2", tmp_path / "none") == ""


def test_the_view_of_trials_has_the_best_first(store) -> None:
    client, experiment = store
    address = runs.share_trials_view(client, experiment, "log_loss", higher_is_better=False)
    assert f"/#/experiments/{experiment}/runs?workflowType=machine_learning&viewStateShareKey=trials" in address
    view = json.loads(client.get_experiment(experiment).tags["mlflow.sharedViewState.trials"])
    assert (view["orderByKey"], view["orderByAsc"]) == ("metrics.`best.val_log_loss`", True)
    assert view["orderByKey"] in view["selectedColumns"]


def test_the_comparison_link_has_the_port_of_make_ui(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("UI_PORT", "5001")
    assert runs.comparison("7", ["a"]).startswith("http://127.0.0.1:5001/#/compare-runs?")


def test_hyperparameters_are_shown_without_the_noise_of_floats() -> None:
    made = SimpleNamespace(members=(), hyperparameters={"dropout": 0.1 + 0.2, "width": 64, "numeric": "bins"})
    assert lineage._hyperparameters(made) == "dropout 0.3, width 64, numeric bins"


def test_a_version_that_is_not_given_is_told_as_none(store) -> None:
    client, _ = store
    assert registry.expected_version(client, "tickets", None).endswith("registers one); received none")
    assert registry.expected_version(client, "tickets", "7").endswith("received '7'")


def test_a_version_whose_files_are_gone_is_told(store, tmp_path: Path) -> None:
    client, _ = store
    version = register(client, TICKETS, tmp_path / "bundle")
    for folder in (tmp_path / "var/mlflow-artifacts").rglob("bundle"):
        shutil.rmtree(folder)
    (tmp_path / "downloaded").mkdir()
    with pytest.raises(
        BundleDamaged, match=r"^version 1 of tickets: expected its files in MLflow's artifacts, received"
    ):
        registry.download_bundle("tickets", version, tmp_path / "downloaded")
    assert lineage.trained_on(client, "0" * 32) == []


def test_a_damaged_database_of_mlflow_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "var").mkdir()
    (tmp_path / "var/mlflow.db").write_bytes(b"x" * 5000)
    with pytest.raises(UserError, match=r"mlflow\.db is damaged .*Restore a backup"):
        runs.connect("tickets")
    with patch("sys.argv", ["x", "ui"]):
        assert commands.main() == 2
