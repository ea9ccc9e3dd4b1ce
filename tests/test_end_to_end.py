"""From a clone to an HTTP prediction, with every real part: DVC, MLflow, Optuna, Keras, BentoML."""

import json
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import requests

from contracts.bundle import open_bundle
from contracts.encoding import encode
from contracts.schema import load_schema
from serving.predictor import Predictor
from tests.conftest import COMMANDS

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
def rows(project) -> pd.DataFrame:
    return pd.read_parquet(project.folder / "data/prepared/iris/validation.parquet").drop(columns="__target__")


@pytest.fixture(scope="module")
def mlflow(project):
    """MLflow over the project's store."""
    import mlflow as module

    module.set_tracking_uri(f"sqlite:///{project.folder / 'var/mlflow.db'}")
    return module


@pytest.fixture(scope="module")
def address(project) -> Iterator[str]:
    """A real `bentoml serve` of the Bento that the pipeline made, as `make serve` starts it."""
    with project.serve("iris") as started:
        yield started


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
    said = project.run(*COMMANDS, "summary").stdout
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
    for part, values in json.loads((project.folder / "metrics/iris.json").read_text()).items():
        for name, value in values.items():
            assert logged[f"{part}.{name}"] == value


def test_the_run_of_the_champion_holds_its_pictures_and_bundle(project, mlflow) -> None:
    manifest, _ = open_bundle(project.folder / "artifacts/iris/bundle")
    client = mlflow.MlflowClient()
    top = {item.path for item in client.list_artifacts(manifest.mlflow_run_id)}
    assert {"learning_curves.png", "confusion.png", "bundle", "report.html", "model_card.md"} <= top
    bundle = {item.path for item in client.list_artifacts(manifest.mlflow_run_id, "bundle")}
    assert {"bundle/model.onnx", "bundle/model.keras", "bundle/manifest.json"} <= bundle


def test_keras_onnx_mlflow_and_http_predict_the_same(project, rows, mlflow, address) -> None:
    bundle = project.folder / "artifacts/iris/bundle"
    schema = load_schema(bundle / "schema.json")
    encoded = encode(schema, rows)

    onnx = Predictor(bundle).predict(encoded)
    program = (
        "import sys, numpy, keras; import models.network.encoders; "
        "model = keras.models.load_model(sys.argv[1]); "
        "numpy.save(sys.argv[3], numpy.asarray(model(numpy.load(sys.argv[2]))))"
    )
    scratch = project.folder.parent
    np.save(scratch / "rows.npy", encoded)
    arguments = (str(bundle / "model.keras"), str(scratch / "rows.npy"), str(scratch / "keras.npy"))
    project.run("python", "-c", program, *arguments)
    keras = np.load(scratch / "keras.npy")
    model = mlflow.pyfunc.load_model("models:/iris@champion")
    registered = model.predict(rows)
    answer = requests.post(f"{address}/predict", json={"instances": rows.to_dict("records")}, timeout=10).json()
    served = [[row["probabilities"][name] for name in schema.classes] for row in answer["predictions"]]

    np.testing.assert_allclose(onnx, keras, atol=1e-5)
    np.testing.assert_allclose(registered[list(schema.classes)], keras, atol=1e-5)
    np.testing.assert_allclose(served, keras, atol=1e-5)
    labels = [row["label"] for row in answer["predictions"]]
    assert labels == [schema.classes[code] for code in keras.argmax(axis=1)]


def test_an_answer_is_explained_and_the_report_says_what_the_model_is(project, address) -> None:
    schema = load_schema(project.folder / "artifacts/iris/bundle/schema.json")
    answer = requests.post(f"{address}/predict?explain=true", json={"instances": [schema.sample]}, timeout=10).json()
    (prediction,) = answer["predictions"]
    explanation = prediction["explanation"][prediction["label"]]
    total = explanation["mean"] + sum(explanation["contributions"].values())
    assert abs(total - prediction["probability"]) < 1e-3
    report = requests.get(f"{address}/report", timeout=10).text
    for part in ("Figures", "What the model uses", "Lineage", "select (automatic)", "read once", "as now"):
        assert part in report, part


def test_a_text_of_the_team_is_in_the_next_report(project) -> None:
    (project.folder / "catalog/cards/iris.md").write_text("For *botanists*.\n")
    said = project.run(*COMMANDS, "repro", "iris").stdout
    assert "catalog/cards/iris.md has changed since the report was written" in said
    assert "<em>botanists</em>" in (project.folder / "artifacts/iris/report.html").read_text()
    assert "has changed" not in project.run(*COMMANDS, "repro", "iris").stdout


def test_predict_sends_the_sample_and_shows_the_curl(project, address) -> None:
    port = address.rpartition(":")[2]
    said = project.run(*COMMANDS, "predict", "iris", "--port", port).stdout
    assert said.startswith(f"curl {address}/predict")
    assert '"label": "' in said


def test_predict_without_a_service_says_how_to_start_one(project) -> None:
    done = project.run(*COMMANDS, "predict", "iris", "--port", "1", check=False)
    assert done.returncode == 2
    assert "make serve DATASET=iris" in done.stderr


def test_a_port_in_use_and_a_port_that_is_none_are_told_in_one_message(project, address) -> None:
    port = address.rpartition(":")[2]
    done = project.run(*COMMANDS, "serve", "iris", "--port", port, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    expected = f"serve: port {port}: Address already in use; choose another one: make serve DATASET=iris PORT=3001\n"
    assert done.stderr == expected
    done = project.run(*COMMANDS, "serve", "iris", "--port", "99999", check=False)
    assert done.returncode == 2
    assert "Invalid value for '--port'" in done.stderr


def test_a_damaged_bento_and_one_of_another_dataset_are_refused(project) -> None:
    own = project.folder / "artifacts/iris/iris.bento"
    other = project.folder / "artifacts/wine/wine.bento"
    other.parent.mkdir(exist_ok=True)
    for content, expected in (
        (own.read_bytes(), "expected a model of wine, received one of iris"),
        (own.read_bytes()[:20_000], "is damaged"),
        (b"no archive", "is damaged"),
    ):
        other.write_bytes(content)
        done = project.run(*COMMANDS, "serve", "wine", "--port", "0", check=False)
        assert done.returncode == 2
        assert done.stderr.startswith("serve: artifacts/wine/wine.bento")
        assert expected in done.stderr
        assert "Traceback" not in done.stderr
    shutil.rmtree(other.parent)


def test_serve_without_a_bento_says_what_makes_one(project) -> None:
    done = project.run(*COMMANDS, "serve", "linnerud", check=False)
    assert done.returncode == 2
    assert "make repro DATASETS=linnerud" in done.stderr


def test_the_service_answers_on_every_route(address) -> None:
    for route in ("livez", "readyz", "metrics", "docs", "openapi.json", "info", "report", "report.css"):
        assert requests.get(f"{address}/{route}", timeout=10).status_code == 200, route


def test_a_wrong_request_is_told_everything_that_is_wrong(address) -> None:
    wrong = {"sepal length (cm)": "long", "sepal width (cm)": True, "petal width (cm)": 0.2, "colour": "blue"}
    answer = requests.post(f"{address}/predict", json={"instances": [wrong]}, timeout=10)
    assert answer.status_code == 400
    assert answer.headers["content-type"].startswith("application/problem+json")
    paths = " ".join(error["path"] for error in answer.json()["errors"])
    for name in ("sepal length", "sepal width", "petal length", "colour"):
        assert name in paths
    assert "petal width" not in paths


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'{"rows": []}', b'{"instances": 3}', b"\xff\xfe", b'{"instances": [NaN]}']
)
def test_a_malformed_body_is_refused_in_our_own_words(address, body: bytes) -> None:
    answer = requests.post(f"{address}/predict", data=body, headers={"content-type": "application/json"}, timeout=10)
    assert answer.status_code == 400
    assert answer.json()["error"] == answer.json()["detail"]
    assert "Traceback" not in answer.text


def test_no_instances_are_no_predictions(address) -> None:
    answer = requests.post(f"{address}/predict", json={"instances": []}, timeout=10)
    assert answer.status_code == 200
    assert answer.json()["predictions"] == []


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
    import shutil

    from contracts.bundle import BundleDamaged

    copy = shutil.copytree(project.folder / "artifacts/iris/bundle", tmp_path / "bundle")
    with (copy / "model.onnx").open("ab") as file:
        file.write(b" ")
    with pytest.raises(BundleDamaged, match=r"model\.onnx was changed"):
        Predictor(copy)
