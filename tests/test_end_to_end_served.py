"""The Bento that the pipeline made, served as `make serve` does, and the commands around it."""

import shutil
from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest
import requests

from contracts.encoding import encode
from contracts.schema import load_schema
from serving.predictor import Predictor
from tests.projects import COMMANDS


@pytest.fixture(scope="module")
def rows(project) -> pd.DataFrame:
    return pd.read_parquet(project.folder / "data/prepared/iris/validation.parquet").drop(columns="__target__")


@pytest.fixture(scope="module")
def address(project) -> Iterator[str]:
    """A real `bentoml serve` of the Bento that the pipeline made, as `make serve` starts it."""
    with project.serve("iris") as started:
        yield started


def test_keras_onnx_mlflow_and_http_predict_the_same(project, rows, address) -> None:
    import mlflow
    from keras.models import load_model

    import models.network.build  # noqa: F401 - Keras finds the layers by it

    bundle = project.folder / "artifacts/iris/bundle"
    schema = load_schema(bundle / "schema.json")
    encoded = encode(schema, rows)

    onnx = Predictor(bundle).predict(encoded)
    keras = np.asarray(load_model(bundle / "model.keras")(encoded))
    mlflow.set_tracking_uri(f"sqlite:///{project.folder / 'var/mlflow.db'}")
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
    done = project.run_here("predict", "iris", "--port", "1")
    assert done.returncode == 2
    assert "make serve DATASET=iris" in done.stderr


def test_a_port_in_use_and_a_port_that_is_none_are_told_in_one_message(project, address) -> None:
    port = address.rpartition(":")[2]
    done = project.run_here("serve", "iris", "--port", port)
    assert (done.returncode, done.stdout) == (2, "")
    expected = f"serve: port {port}: Address already in use; choose another one: make serve DATASET=iris PORT=3001\n"
    assert done.stderr == expected
    done = project.run_here("serve", "iris", "--port", "99999")
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
        done = project.run_here("serve", "wine", "--port", "0")
        assert done.returncode == 2
        assert done.stderr.startswith("serve: artifacts/wine/wine.bento")
        assert expected in done.stderr
        assert "Traceback" not in done.stderr
    shutil.rmtree(other.parent)


def test_serve_without_a_bento_says_what_makes_one(project) -> None:
    done = project.run_here("serve", "linnerud")
    assert done.returncode == 2
    assert "make repro DATASETS=linnerud" in done.stderr


def test_an_image_is_made_of_the_packaged_bento_by_the_engine_that_exists(project, tmp_path) -> None:
    """Also where BentoML's store lacks it: DVC brings only the file to another machine."""
    for program in ("podman", "bentoml"):
        (tmp_path / program).write_text('#!/bin/sh\necho "$0 $@"\n')
        (tmp_path / program).chmod(0o755)
    empty = tmp_path / "store"
    command = ("env", f"PATH={tmp_path}", f"BENTOML_HOME={empty}", *COMMANDS, "containerize", "iris")
    said = project.run(*command).stdout.splitlines()[-1].removeprefix(f"{tmp_path}/")
    (bento,) = (entry for entry in (empty / "bentos/iris").iterdir() if entry.is_dir())
    assert said == f"bentoml containerize iris:{bento.name} -t iris:latest --backend podman"
    assert project.run(*command).stdout.splitlines()[-1].endswith(said), "the store has it now"
    assert (bento / "src/bundle/manifest.json").read_bytes() == (
        project.folder / "artifacts/iris/bundle/manifest.json"
    ).read_bytes()


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
