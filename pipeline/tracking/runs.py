"""Runs, metrics and models in MLflow. The only module that imports it."""

import contextlib
import json
import logging
import os
import time
import urllib.parse
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
from filelock import FileLock
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.tracking import MlflowClient
from mlflow.types import ColSpec, Schema, TensorSpec

from pipeline.paths import var
from pipeline.tracking import databases

CHAMPION = "champion"
LOCAL_UI = "http://127.0.0.1:5000"  # where `make ui` shows a store that is no server
BATCH = 1000  # metrics in one call to a tracking server, which takes no more


def connect(dataset: str) -> tuple[MlflowClient, str]:
    """A client of the tracking store and the id of the dataset's experiment, both made where missing.

    The store is `MLFLOW_TRACKING_URI`, or a SQLite database in `var/` with its artifacts beside it.
    """
    for chatty in ("mlflow", "alembic"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)  # it raises what it would print, 40 lines
    uri = tracking_uri()
    if not uri.startswith("sqlite"):
        databases.check(uri, "MLFLOW_TRACKING_URI", table="experiments")  # MLflow itself would try for minutes
    mlflow.set_tracking_uri(uri)
    client = MlflowClient(uri)
    # Two processes that create the database or the experiment at once would race.
    var().mkdir(parents=True, exist_ok=True)
    with FileLock(var() / "mlflow.lock"):
        experiment = client.get_experiment_by_name(dataset)
        if experiment is not None:
            return client, experiment.experiment_id
        if uri.startswith("sqlite"):
            databases.write_ahead(Path(uri.removeprefix("sqlite:///")))
        artifacts = (var() / "mlflow-artifacts").as_uri() if not uri.startswith("http") else None
        return client, client.create_experiment(dataset, artifact_location=artifacts)


def tracking_uri() -> str:
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{var() / 'mlflow.db'}"


def comparison(experiment: str, runs: list[str]) -> str:
    """The address of the page of MLflow's UI that shows runs side by side, without the password of a server."""
    server = urllib.parse.urlsplit(tracking_uri())
    page = LOCAL_UI
    if server.scheme in ("http", "https"):
        page = server._replace(netloc=server.netloc.rpartition("@")[2], query="", fragment="").geturl().rstrip("/")
    lists = {"runs": runs, "experiments": [experiment]}
    asked = {name: json.dumps(names, separators=(",", ":")) for name, names in lists.items()}
    return f"{page}/#/compare-runs?{urllib.parse.urlencode(asked)}"


def study_run(client: MlflowClient, experiment: str, study: str, run_id: str | None) -> str:
    """The parent run of a study: the one it had before, or a new one."""
    name = f"study {study}"
    if run_id is None:  # unless a search was ended before the study knew of its run
        found = client.search_runs([experiment], f"attributes.run_name = '{name}' and tags.kind = 'study'")
        run_id = found[0].info.run_id if found else None
    if run_id is not None and run_exists(client, run_id):
        client.update_run(run_id, status="RUNNING")
        return run_id
    return client.create_run(experiment, run_name=name, tags={"kind": "study"}).info.run_id


def log_inputs(client: MlflowClient, run_id: str, files: Mapping[str, tuple[Path, str]]) -> None:
    """Note which data a run used: context (train, validation, test) → file and digest."""
    inputs = []
    for context, (path, digest) in files.items():
        data = Dataset(f"{path.parent.name}/{path.stem}", digest, "dvc", json.dumps({"path": str(path)}))
        inputs.append(DatasetInput(data, [InputTag("mlflow.data.context", context)]))
    client.log_inputs(run_id, inputs)


def log_trial(
    client: MlflowClient,
    experiment: str,
    parent: str,
    name: str,
    state: str,
    started: int,
    params: Mapping[str, Any],
    history: Mapping[str, list[float]],
    metrics: Mapping[str, float],
    tags: Mapping[str, str],
) -> str:
    """A finished trial as a child run, all its epochs in one call. A pruned trial is not a failed one.

    Args:
        started: milliseconds since the epoch.
        history: per metric the value of every epoch, from the first.
    """
    run = client.create_run(
        experiment,
        start_time=started,
        run_name=name,
        tags={"mlflow.parentRunId": parent, "kind": "trial", "trial.state": state, **tags},
    )
    points = [
        Metric(key, value, started, step) for key, values in history.items() for step, value in enumerate(values, 1)
    ]
    points += [Metric(key, value, started, 0) for key, value in metrics.items()]
    for first in range(0, max(len(points), 1), BATCH):
        entries = [Param(key, str(value)) for key, value in params.items()] if first == 0 else []
        client.log_batch(run.info.run_id, metrics=points[first : first + BATCH], params=entries)
    client.set_terminated(run.info.run_id, "FAILED" if state == "failed" else "FINISHED")
    return run.info.run_id


def abandon_trial(client: MlflowClient, experiment: str, parent: str, number: int) -> None:
    """Mark the run of a trial that is trained again, if it has one, as killed."""
    children = f"tags.`mlflow.parentRunId` = '{parent}' and tags.`trial.number` = '{number}'"
    for run in client.search_runs([experiment], children):
        client.set_tag(run.info.run_id, "trial.state", "abandoned")
        client.set_terminated(run.info.run_id, "KILLED")


def learning_curves(client: MlflowClient, experiment: str) -> Iterator[tuple[str, dict[str, list[tuple[int, float]]]]]:
    """`<study>/<trial>` of each trial, with the value of each metric by epoch, from 1; none where it did not end."""
    token = None
    while True:
        found = client.search_runs([experiment], "tags.kind = 'trial'", page_token=token)
        for run in found:
            points = {key: client.get_metric_history(run.info.run_id, key) for key in run.data.metrics}
            # Step 0 holds what belongs to the trial as a whole.
            curves = {key: [(p.step, p.value) for p in of if p.step] for key, of in points.items()}
            yield f"{run.data.tags['study']}/{run.info.run_name}", {key: c for key, c in curves.items() if c}
        token = found.token
        if not token:
            return


def log_metrics(client: MlflowClient, run_id: str, metrics: Mapping[str, float], tags: Mapping[str, str] = {}) -> None:
    now = int(time.time() * 1000)
    client.log_batch(
        run_id,
        metrics=[Metric(key, value, now, 0) for key, value in metrics.items()],
        tags=[RunTag(key, value) for key, value in tags.items()],
    )


def new_run(client: MlflowClient, experiment: str, name: str) -> str:
    """A finished run, for what belongs to no trial of this store."""
    run = client.create_run(experiment, run_name=name)
    client.set_terminated(run.info.run_id)
    return run.info.run_id


def log_baseline(client: MlflowClient, experiment: str, name: str, started: int, metrics: Mapping[str, float]) -> None:
    """A model that networks are compared with, as a finished run of the same experiment."""
    run = client.create_run(experiment, start_time=started, run_name=f"baseline {name}", tags={"kind": "baseline"})
    log_metrics(client, run.info.run_id, metrics)
    client.set_terminated(run.info.run_id)


def run_exists(client: MlflowClient, run_id: str) -> bool:
    try:
        return client.get_run(run_id).info.lifecycle_stage == "active"
    except MlflowException:
        return False


def log_files(client: MlflowClient, run_id: str, paths: Iterable[Path], folder: str | None = None) -> None:
    for path in paths:
        client.log_artifact(run_id, str(path), folder)


def champion(client: MlflowClient, dataset: str) -> str | None:
    """The version that has the alias `champion`, if any."""
    try:
        return str(client.get_model_version_by_alias(dataset, CHAMPION).version)
    except MlflowException:
        return None


def versions(client: MlflowClient, dataset: str) -> list[str]:
    """The registered versions of a dataset's model, the oldest first."""
    found = client.search_model_versions(f"name='{dataset}'")
    return sorted((str(version.version) for version in found), key=int)


def download_bundle(dataset: str, version: str, folder: Path) -> Path:
    """The bundle inside a registered model version."""
    local = mlflow.artifacts.download_artifacts(f"models:/{dataset}/{version}", dst_path=str(folder))
    return Path(local) / "artifacts" / "bundle"


def register(
    client: MlflowClient,
    dataset: str,
    run_id: str,
    bundle: Path,
    code: list[Path],
    definition: Path,
    requirements: list[str],
    signature: Any,
    example: Any,
) -> str:
    """Log a bundle as a model of its run, register it, and return the version.

    The model is Python code over the bundle (`definition`), so nothing is pickled.
    """
    with mlflow.start_run(run_id=run_id):
        info = mlflow.pyfunc.log_model(
            name="model",
            python_model=str(definition),
            artifacts={"bundle": str(bundle)},
            code_paths=[str(path) for path in code],
            pip_requirements=requirements,
            signature=signature,
            input_example=example,
        )
    # Not through `log_model`, which prints about it.
    with contextlib.suppress(MlflowException):  # it exists
        client.create_registered_model(dataset)
    return str(client.create_model_version(dataset, info.model_uri, run_id, model_id=info.model_id).version)


def signature(inputs: Mapping[str, str] | tuple[int, ...], outputs: list[str]) -> ModelSignature:
    """The contract of a model: a table by column name and type, or an array of one shape; named outputs.

    Columns are optional only where a missing value is, which MLflow checks for itself by type.
    """
    if isinstance(inputs, Mapping):
        columns = Schema([ColSpec(kind, name, required=True) for name, kind in inputs.items()])
    else:
        columns = Schema([TensorSpec(np.dtype("float32"), (-1, *inputs))])
    return ModelSignature(columns, Schema([ColSpec("float", name) for name in outputs]))


def set_champion_alias(client: MlflowClient, dataset: str, version: str) -> None:
    """Give a version the alias `champion`; the one that had it stays registered."""
    client.set_registered_model_alias(dataset, CHAMPION, version)
