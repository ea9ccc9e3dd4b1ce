"""From a clone to an HTTP prediction, with every real part: DVC, MLflow, Optuna, Keras, BentoML."""

import json
import shutil
import tarfile
from pathlib import Path

import pytest

from contracts.bundle import open_bundle
from serving.predictor import Predictor

FILES = (
    "data/raw/iris/data.parquet", "data/prepared/iris/schema.json", "artifacts/iris/candidates/1/model.onnx",
    "artifacts/iris/candidates/2/model.keras", "artifacts/iris/candidates/trials.csv", "artifacts/iris/selection.json",
    "artifacts/iris/bundle/manifest.json", "artifacts/iris/iris.bento", "metrics/iris.json",
    "plots/iris/search/trial_history.png", "plots/iris/search/importance.png",
    "plots/iris/search/parallel_coordinates.png", "plots/iris/search/slices.png",
    "plots/iris/model/learning_curves.png", "plots/iris/model/confusion.png", "plots/iris/data.html",
    "data/prepared/iris/warnings.json", "artifacts/iris/report.html", "artifacts/iris/model_card.md",
    "artifacts/iris/bundle/background.npy",
)  # fmt: skip


@pytest.fixture(scope="module")
def mlflow(project):
    """MLflow over the project's store."""
    import mlflow as module

    module.set_tracking_uri(f"sqlite:///{project.folder / 'var/mlflow.db'}")
    return module


def test_one_command_leaves_every_output(project) -> None:
    assert [name for name in FILES if not (project.folder / name).exists()] == []


def test_the_first_run_speaks_and_shows_no_chatter(project) -> None:
    said = project.first_run.stdout + project.first_run.stderr
    assert "trial 3/3: log_loss" in said
    assert "iris: 3/3 trials · best log_loss 0." in said
    assert "http://127.0.0.1:5000/#/compare-runs?runs=" in said
    assert "is served as version 1" in said
    for chatter in ("Traceback", "Warning", "cuda", "absl", "alembic", "Downloading artifacts"):
        assert chatter not in said


def test_the_second_run_does_nothing(project) -> None:
    assert "Data and pipelines are up to date." in project.run("dvc", "repro").stdout


def test_the_summary_shows_the_champion_and_the_next_command(project) -> None:
    metrics = json.loads((project.folder / "metrics/iris.json").read_text())
    said = project.run_here("summary").stdout
    assert f"{metrics['test']['accuracy']:.4g}" in said
    assert "make serve DATASET=iris" in said
    assert "plots/iris/data.html" in said
    assert "artifacts/iris/report.html" in said


def test_the_champion_beats_the_baseline_by_far(project) -> None:
    metrics = json.loads((project.folder / "metrics/iris.json").read_text())
    assert metrics["test"]["accuracy"] >= 0.75  # with a tenth of the usual budget
    assert metrics["baseline"]["accuracy"] < 0.5
    assert metrics["low"]["accuracy"] <= metrics["test"]["accuracy"] <= metrics["high"]["accuracy"]


def test_selection_says_who_competed_and_why_the_winner_won(project) -> None:
    selection = json.loads((project.folder / "artifacts/iris/selection.json").read_text())
    values = [candidate["value"] for candidate in selection["candidates"]]
    assert len(values) == 2
    assert selection["winner"] == f"candidate {1 + values.index(min(values))}"
    assert min(values) < selection["baseline"]
    assert "baseline" in selection["reason"]
    assert selection["champion_before"] is None


def test_a_study_is_a_parent_run_and_its_trials_are_children(project, mlflow) -> None:
    runs = mlflow.search_runs(experiment_names=["iris"], output_format="list")
    parents = [run for run in runs if run.data.tags.get("kind") == "study"]
    trials = [run for run in runs if run.data.tags.get("mlflow.parentRunId") == parents[0].info.run_id]
    assert len(parents) == 1
    assert parents[0].info.status == "FINISHED"
    assert len(trials) >= 3
    complete = [run for run in trials if run.data.tags["trial.state"] == "complete"]
    assert all({"depth", "width", "learning_rate", "seed"} <= run.data.params.keys() for run in trials)
    assert all("best.val_log_loss" in run.data.metrics for run in complete)
    history = mlflow.MlflowClient().get_metric_history(complete[0].info.run_id, "val_loss")
    assert [point.step for point in history] == list(range(1, len(history) + 1))
    pictures = {item.path for item in mlflow.MlflowClient().list_artifacts(parents[0].info.run_id)}
    assert {"trial_history.png", "importance.png", "parallel_coordinates.png", "slices.png", "data.html"} <= pictures
    assert parents[0].data.metrics["best.val_log_loss"] == min(
        run.data.metrics["best.val_log_loss"] for run in complete
    )
    inputs = {tag.value: data.dataset.digest for data in parents[0].inputs.dataset_inputs for tag in data.tags}
    lock = (project.folder / "dvc.lock").read_text()
    assert inputs["train"] in lock
    assert inputs["validation"] in lock


def test_test_metrics_are_equal_in_the_file_and_in_mlflow(project, mlflow) -> None:
    manifest, _ = open_bundle(project.folder / "artifacts/iris/bundle")
    logged = mlflow.get_run(manifest.mlflow_run_id).data.metrics
    parts = json.loads((project.folder / "metrics/iris.json").read_text())
    assert parts.pop("split").items() >= {"by": "random", "test_rows": 30}.items()  # what the figures are of
    for part, values in parts.items():
        for name, value in values.items():
            assert logged[f"{part}.{name}"] == value


def test_the_run_of_the_champion_holds_its_pictures_and_bundle(project, mlflow) -> None:
    manifest, _ = open_bundle(project.folder / "artifacts/iris/bundle")
    client = mlflow.MlflowClient()
    top = {item.path for item in client.list_artifacts(manifest.mlflow_run_id)}
    assert {"learning_curves.png", "confusion.png", "bundle", "report.html", "model_card.md"} <= top
    bundle = {item.path for item in client.list_artifacts(manifest.mlflow_run_id, "bundle")}
    assert {"bundle/model.onnx", "bundle/model.keras", "bundle/manifest.json"} <= bundle


def test_the_bento_brings_no_training_tools(project) -> None:
    with tarfile.open(project.folder / "artifacts/iris/iris.bento") as archive:
        names = archive.getnames()
        described = next(name for name in names if name.endswith("requirements.txt"))
        requirements = archive.extractfile(described).read().decode().lower()  # type: ignore[union-attr]
    assert any(name.endswith("bundle/model.onnx") for name in names)
    assert not any(name.endswith(("tracking.py", "mlflow_model.py")) for name in names)
    for tool in ("tensorflow", "mlflow", "dvc", "optuna", "pandas"):
        assert tool not in requirements


def test_a_changed_bundle_is_not_loaded(project, tmp_path: Path) -> None:

    from contracts.bundle import BundleDamaged

    copy = shutil.copytree(project.folder / "artifacts/iris/bundle", tmp_path / "bundle")
    with (copy / "model.onnx").open("ab") as file:
        file.write(b" ")
    with pytest.raises(BundleDamaged, match=r"model\.onnx was changed"):
        Predictor(copy)
