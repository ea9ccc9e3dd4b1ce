"""The champion and its curves in the formats of other tools."""

import contextlib
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import psutil
import requests

from contracts.encoding import encode
from contracts.schema import load_schema
from tests.ports import free_port
from tests.projects import COMMANDS
from tests.stage_process import Process


def test_the_exported_formats_give_back_the_network(project, tmp_path) -> None:
    """Each format alone gives back the network whose predictions the bundle's Keras file makes."""
    import keras
    import tensorflow as tf

    import models.network.build  # noqa: F401 - Keras finds the layers by it

    folder, bundle = tmp_path / "out", project.folder / "artifacts/iris/bundle"
    said = project.run("python", "-m", "pipeline.commands", "export", "iris", str(folder)).stdout
    assert "saved_model" in said
    frame = pd.read_parquet(project.folder / "data/prepared/iris/validation.parquet").drop(columns="__target__")
    rows = encode(load_schema(bundle / "schema.json"), frame)
    expected = np.asarray(keras.models.load_model(bundle / "model.keras", compile=False)(rows))
    again = keras.models.model_from_json((folder / "architecture.json").read_text())
    assert abs(np.asarray(again(rows)) - expected).max() > 1e-2
    again.load_weights(folder / "model.weights.h5")
    np.testing.assert_allclose(again(rows), expected, atol=1e-6)
    loaded = tf.saved_model.load(str(folder / "saved_model"))
    np.testing.assert_allclose(loaded.serve(tf.constant(rows)), expected, atol=1e-6)


def test_nothing_is_exported_over_other_files(project, tmp_path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    done = project.run_here("export", "iris", str(tmp_path))
    assert done.returncode == 2
    assert "expected a new or an empty folder" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
    done = project.run_here("export", "iris", str(tmp_path / "notes.txt"))
    assert done.returncode == 2
    assert "expected a new or an empty folder" in done.stderr


def test_tensorboard_shows_the_curves_of_every_finished_trial(project) -> None:
    port = free_port()
    board = subprocess.Popen(
        [sys.executable, "-m", "pipeline.commands", "tensorboard", "iris", "--port", str(port)],
        cwd=project.folder, env=project.environment(), stdout=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        runs: dict = {}
        for _ in range(240):
            with contextlib.suppress(requests.RequestException):
                runs = requests.get(f"http://127.0.0.1:{port}/data/plugin/scalars/tags", timeout=5).json()
            if runs:
                break
            time.sleep(0.5)
        history = pd.read_csv(project.folder / "artifacts/iris/candidates/1/history.csv")
        trials = {name.rpartition("/")[0] for name in runs}
        assert trials
        assert all({f"{trial}/train", f"{trial}/validation"} <= runs.keys() for trial in trials)
        assert all("loss" in tags for tags in runs.values())
        curves = []
        for trial in trials:
            query = {"run": f"{trial}/validation", "tag": "loss"}
            points = requests.get(f"http://127.0.0.1:{port}/data/plugin/scalars/scalars", params=query, timeout=5)
            curves.append([round(value, 4) for _, _, value in points.json()])
        assert history["val_loss"].round(4).tolist() in curves
    finally:
        os.killpg(board.pid, signal.SIGINT)
        board.wait(20)


def test_the_ui_shows_the_runs_with_few_processes(project) -> None:
    port = str(free_port())
    ui = Process(project, "ui.log", *COMMANDS, "ui", "--port", port)
    try:
        ui.wait_for(f"MLflow's UI: http://127.0.0.1:{port} (Ctrl-C ends it)")
        names: list[str] = []
        for _ in range(240):
            with contextlib.suppress(requests.RequestException):
                api = f"http://127.0.0.1:{port}/api/2.0/mlflow/experiments/search"
                found = requests.get(api, {"max_results": 10}, timeout=5).json()
                names = [experiment["name"] for experiment in found["experiments"]]
                break
            time.sleep(0.5)
        assert "iris" in names
        assert len(psutil.Process(ui.process.pid).children(recursive=True)) <= 2
    finally:
        os.killpg(ui.process.pid, signal.SIGTERM)
        ui.process.wait(20)


def test_tensorboard_without_trials_says_what_makes_some(project) -> None:
    done = project.run_here("tensorboard", "linnerud")
    assert done.returncode == 2
    assert "make repro DATASETS=linnerud" in done.stderr
