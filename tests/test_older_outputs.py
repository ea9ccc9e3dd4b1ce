"""A bundle, a registered model and a Bento of an older version are still read.

`files/made_by_aea4a9c.tar.xz` holds what `make repro` wrote for iris at revision aea4a9c: `bundle/`, `iris.bento`, and
the MLflow store, cut to that dataset's study and registered model. The store's place is `@STORE@`.
"""

import json
import shutil
import sqlite3
import subprocess
import sys
import tarfile
from pathlib import Path

import httpx
import numpy as np
import pytest

from contracts.bundle import open_bundle, seal
from contracts.encoding import encode
from contracts.schema import Schema
from contracts.settings.load import load_params
from contracts.spec import Spec
from pipeline.paths import Paths
from serving.predictor import Predictor
from tests.serving.bento_servers import is_up, launch, stop, wait_until

ROOT = Path(__file__).parent.parent
RUN = "0eb3bb12f94a4923bd4981c73d0b3982"  # of the trial that was registered


@pytest.fixture(scope="module")
def older(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The unpacked outputs; the store is `mlflow.db`."""
    folder = tmp_path_factory.mktemp("older")
    with tarfile.open(ROOT / "tests/files/made_by_aea4a9c.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    places = {
        "runs": "artifact_uri", "experiments": "artifact_location", "logged_models": "artifact_location",
        "model_versions": "storage_location",
    }  # fmt: skip
    with sqlite3.connect(folder / "mlflow.db") as store:
        for table, column in places.items():
            store.execute(f"update {table} set {column} = replace({column}, 'file:///@STORE@', ?)", (folder.as_uri(),))
    store.close()
    return folder


def sample(schema: Schema) -> np.ndarray:
    return encode(schema, {name: [value] for name, value in schema.sample.items()})


@pytest.fixture(scope="module")
def expected(older: Path) -> list[float]:
    """The prediction for the schema's sample, as the older version stored it in the Bento."""
    with tarfile.open(older / "iris.bento") as bento:
        settings = bento.extractfile("./src/settings.json")
        assert settings is not None
        return json.load(settings)["expected"]


def test_an_older_bundle_opens_and_predicts_the_same(older: Path, expected: list[float]) -> None:
    predictor = Predictor(older / "bundle")
    assert predictor.manifest.mlflow_run_id == RUN
    np.testing.assert_allclose(predictor.predict(sample(predictor.schema))[0], expected, atol=1e-6)


def test_the_network_of_an_older_bundle_is_loaded_fine_tuned_and_exported(older: Path, expected, tmp_path) -> None:
    from models.training.runtime import use_threads  # first: imports TensorFlow quietly  # isort: skip
    import keras

    from models.network.build import build
    from models.training.export import export
    from models.training.fine_tuning import reuse_layers

    use_threads(0)
    manifest, schema = open_bundle(older / "bundle")
    row = sample(schema)
    loaded = keras.models.load_model(older / "bundle/model.keras", compile=False)
    np.testing.assert_allclose(np.asarray(loaded(row))[0], expected, atol=1e-6)
    network = build(Spec(**manifest.hyperparameters), schema)
    reuse_layers(network, older / "bundle", layers=1, frozen=True)
    np.testing.assert_array_equal(network.get_layer("hidden_1").kernel, loaded.get_layer("hidden_1").kernel)
    export(loaded, tmp_path, row)


def test_an_older_registered_model_is_loaded_and_predicts_the_same(older: Path, expected: list[float]) -> None:
    _, schema = open_bundle(older / "bundle")
    program = (
        "import sys, json, mlflow, pandas; mlflow.set_tracking_uri(sys.argv[1]); "
        "model = mlflow.pyfunc.load_model('models:/iris/1'); "
        "print(model.predict(pandas.DataFrame([json.loads(sys.argv[2])])).to_json(orient='values'))"
    )
    # In the project's folder, where packages of the same names as the model's own code lie.
    done = subprocess.run(
        [sys.executable, "-c", program, f"sqlite:///{older / 'mlflow.db'}", json.dumps(schema.sample)],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    np.testing.assert_allclose(json.loads(done.stdout.splitlines()[-1])[0], expected, atol=1e-6)


def test_select_keeps_a_champion_unless_it_was_trained_on_the_validation_rows(older, tmp_path, monkeypatch) -> None:
    from pipeline.stages import fetch, preprocess, select

    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{older / 'mlflow.db'}")
    params, paths = load_params(ROOT / "params.yaml", "iris"), Paths("iris", tmp_path)
    fetch.run(params, paths)
    preprocess.run(params, paths)
    shutil.copytree(older / "bundle", paths.candidates / "1")
    (paths.candidates / "trials.csv").write_text("number\n0\n")
    manifest, _ = open_bundle(paths.candidates / "1")

    def selected(train_md5: str) -> tuple[str, str, str]:
        """Winner, version and reason for a candidate that was trained on rows of this md5."""
        seal(paths.candidates / "1", manifest.model_copy(update={"train_md5": train_md5}))
        select.run(params, paths)
        selection = json.loads(paths.selection.read_text())
        return selection["winner"], selection["version"], selection["reason"]

    winner, version, _ = selected(manifest.train_md5)
    assert (winner, version) == ("version 1", "1")
    assert open_bundle(paths.bundle)[0].mlflow_run_id == RUN

    winner, version, reason = selected("other rows")
    assert (winner, version) == ("candidate 1", "2")
    assert "its version does not say which rows it was trained on, and they were other rows" in reason

    winner, version, reason = selected("other rows than version 2, none of which is a validation row")
    assert (winner, version) == ("version 2", "2")
    assert reason.startswith("the champion stays")

    params = params.model_copy(update={"preprocess": params.preprocess.model_copy(update={"seed": 1})})
    preprocess.run(params, paths)
    winner, version, reason = selected("another split")
    assert (winner, version) == ("candidate 1", "3")
    assert "it was trained on rows that are validation rows now" in reason


def test_an_older_bento_is_imported_and_serves(older: Path, expected: list[float], monkeypatch) -> None:
    monkeypatch.setenv("BENTOML_HOME", str(older / "bentoml"))
    monkeypatch.setenv("BENTOML_DO_NOT_TRACK", "true")
    command = [sys.executable, "-m", "bentoml", "import", str(older / "iris.bento")]
    subprocess.run(command, cwd=older, check=True, capture_output=True, timeout=120)
    _, schema = open_bundle(older / "bundle")
    server = launch(older, "iris:latest")
    try:
        wait_until(lambda: is_up(server))
        answer = httpx.post(f"{server.url}/predict", json={"instances": [schema.sample]}, timeout=10).json()
    finally:
        stop(server)
    assert list(answer["predictions"][0]["probabilities"].values()) == pytest.approx(expected, abs=1e-6)
