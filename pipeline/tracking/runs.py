"""Experiments and runs in MLflow: a study is a parent run, its trials are child runs."""

import contextlib
import json
import logging
import os
import sys
import time
import urllib.parse
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import mlflow
from filelock import FileLock
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from pipeline.paths import var
from pipeline.tracking import databases, provenance

MAX_BATCH = 1000  # most metrics that a tracking server accepts in one call
# Tags of an experiment that MLflow's pages read: its kind, and the view that "Share" stores of a table of runs.
EXPERIMENT_KIND = ("mlflow.experimentKind", "custom_model_development")
TRIALS_VIEW = "trials"


def connect(dataset: str) -> tuple[MlflowClient, str]:
    """A client of the tracking store and the id of the dataset's experiment; both are created if they are missing.

    The store is `MLFLOW_TRACKING_URI`, or a SQLite database in `var/` with its artifacts beside it.
    """
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)  # it also raises every error that it logs
    uri = tracking_uri()
    if not uri.startswith("sqlite") or not databases.is_sqlite(Path(uri.removeprefix("sqlite:///"))):
        databases.check_usable(uri, "MLFLOW_TRACKING_URI", table="experiments")  # otherwise MLflow tries for minutes
    mlflow.set_tracking_uri(uri)
    client = MlflowClient(uri)
    # Two processes that create the database or the experiment at once would race.
    var().mkdir(parents=True, exist_ok=True)
    with FileLock(var() / "mlflow.lock"):
        experiment = client.get_experiment_by_name(dataset)
        if experiment is not None:
            if EXPERIMENT_KIND[0] not in experiment.tags:  # an experiment of an older version
                client.set_experiment_tag(experiment.experiment_id, *EXPERIMENT_KIND)
            return client, experiment.experiment_id
        if uri.startswith("sqlite"):
            databases.use_write_ahead_log(Path(uri.removeprefix("sqlite:///")))
        artifacts = (var() / "mlflow-artifacts").as_uri() if not uri.startswith("http") else None
        return client, client.create_experiment(dataset, artifacts, dict([EXPERIMENT_KIND]))


def tracking_uri() -> str:
    """`MLFLOW_TRACKING_URI`, or a SQLite database in `var/`."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{var() / 'mlflow.db'}"


def comparison(experiment: str, runs: list[str]) -> str:
    """The address at which MLflow's UI compares runs, without the password of a server.

    For a store that is not a server it is the address of `make ui`, whose port is `UI_PORT`, else 5000.
    """
    lists = {"runs": runs, "experiments": [experiment]}
    query = {name: json.dumps(ids, separators=(",", ":")) for name, ids in lists.items()}
    return f"{_ui()}/#/compare-runs?{urllib.parse.urlencode(query)}"


def share_trials_view(client: MlflowClient, experiment: str, metric: str, higher_is_better: bool) -> str:
    """Store a view of the table of runs, the best first, and return its address.

    By default the table shows only the parent run, without metrics, and in a new browser MLflow opens an experiment in
    its layout for traces and prompts.
    """
    best = f"metrics.`best.val_{metric}`"
    columns = [best, "metrics.`n_parameters`", "tags.`trial.state`", "attributes.`Source`"]
    view = {"orderByKey": best, "orderByAsc": not higher_is_better, "selectedColumns": columns}
    client.set_experiment_tag(experiment, f"mlflow.sharedViewState.{TRIALS_VIEW}", json.dumps(view))
    query = f"workflowType=machine_learning&viewStateShareKey={TRIALS_VIEW}"
    return f"{_ui()}/#/experiments/{experiment}/runs?{query}"


def _ui() -> str:
    server = urllib.parse.urlsplit(tracking_uri())
    if server.scheme in ("http", "https"):
        return server._replace(netloc=server.netloc.rpartition("@")[2], query="", fragment="").geturl().rstrip("/")
    return f"http://127.0.0.1:{os.environ.get('UI_PORT') or 5000}"


def study_run(client: MlflowClient, experiment: str, study: str, run_id: str | None) -> str:
    """The parent run of a study, reopened or new.

    Args:
        run_id: the run in the study's attributes, if there is one.
    """
    name = f"study {study}"
    if run_id is None:  # an earlier search may have died before it stored the id in the study
        found = client.search_runs([experiment], f"attributes.run_name = '{name}' and tags.kind = 'study'")
        run_id = found[0].info.run_id if found else None
    if run_id is not None and run_exists(client, run_id):
        client.update_run(run_id, status="RUNNING")
        return run_id
    return client.create_run(experiment, run_name=name, tags={"kind": "study", **_source()}).info.run_id


def end_study_run(client: MlflowClient, run_id: str, status: str, seconds: float) -> None:
    """End the parent run of a study after the seconds of its searches; the time between two searches does not count."""
    client.set_terminated(run_id, status, client.get_run(run_id).info.start_time + round(seconds * 1000))


def log_inputs(client: MlflowClient, run_id: str, files: Mapping[str, tuple[Path, str]]) -> None:
    """Log the data of a run: context (train, validation, test) → file and digest."""
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
    """Log a finished trial as a child run, all its epochs in one call. A pruned trial has not failed.

    Args:
        started: milliseconds since the epoch.
        history: for each metric the values of all epochs.

    Returns:
        the id of the run.
    """
    run = client.create_run(
        experiment,
        start_time=started,
        run_name=name,
        tags={"mlflow.parentRunId": parent, "kind": "trial", "trial.state": state, **tags, **_source()},
    )
    points = [
        Metric(key, value, started, step) for key, values in history.items() for step, value in enumerate(values, 1)
    ]
    points += [Metric(key, value, started, 0) for key, value in metrics.items()]
    for first in range(0, max(len(points), 1), MAX_BATCH):
        entries = [Param(key, str(value)) for key, value in params.items()] if first == 0 else []
        client.log_batch(run.info.run_id, metrics=points[first : first + MAX_BATCH], params=entries)
    client.set_terminated(run.info.run_id, "FAILED" if state == "failed" else "FINISHED")
    return run.info.run_id


def abandon_trial(client: MlflowClient, experiment: str, parent: str, number: int) -> None:
    """Mark the run of a trial that is trained again, if there is one, as killed."""
    children = f"tags.`mlflow.parentRunId` = '{parent}' and tags.`trial.number` = '{number}'"
    for run in client.search_runs([experiment], children):
        client.set_tag(run.info.run_id, "trial.state", "abandoned")
        client.set_terminated(run.info.run_id, "KILLED", run.info.end_time or run.info.start_time)


def learning_curves(client: MlflowClient, experiment: str) -> Iterator[tuple[str, dict[str, list[tuple[int, float]]]]]:
    """`<study>/<trial>` of each trial, with the points (epoch from 1, value) of each metric."""
    for run in mlflow.search_runs([experiment], "tags.kind = 'trial'", output_format="list"):
        points = {key: client.get_metric_history(run.info.run_id, key) for key in run.data.metrics}
        # Step 0 has the metrics of the trial as a whole.
        curves = {key: [(p.step, p.value) for p in values if p.step] for key, values in points.items()}
        yield f"{run.data.tags['study']}/{run.info.run_name}", {key: c for key, c in curves.items() if c}


def log_metrics(
    client: MlflowClient, run_id: str, metrics: Mapping[str, float], tags: Mapping[str, str] = {}, step: int = 0
) -> None:
    """Log metrics of a run as a whole, and tags, in one call."""
    now = int(time.time() * 1000)
    client.log_batch(
        run_id,
        metrics=[Metric(key, value, now, step) for key, value in metrics.items()],
        tags=[RunTag(key, value) for key, value in tags.items()],
    )


def find_or_create_run(client: MlflowClient, experiment: str, run_id: str, name: str) -> str:
    """The id of a run; if the store lacks it, that of a new, finished run."""
    if run_exists(client, run_id):
        return run_id
    run = client.create_run(experiment, run_name=name, tags=_source())
    client.set_terminated(run.info.run_id)
    return run.info.run_id


@contextlib.contextmanager
def reopened(client: MlflowClient, run_id: str) -> Iterator[None]:
    """Make a finished run the active one; it keeps its status and its end, and so its duration."""
    info = client.get_run(run_id).info
    try:
        with mlflow.start_run(run_id=run_id):
            yield
    finally:
        client.set_terminated(run_id, info.status, info.end_time)


def log_baseline(
    client: MlflowClient, experiment: str, name: str, started: int, metrics: Mapping[str, float], validation_md5: str
) -> None:
    """Log a model that networks are compared with, as a finished run of the same experiment."""
    tags = {"kind": "baseline", "data.validation": validation_md5, **_source()}
    run = client.create_run(experiment, start_time=started, run_name=f"baseline {name}", tags=tags)
    log_metrics(client, run.info.run_id, metrics)
    client.set_terminated(run.info.run_id)


def run_exists(client: MlflowClient, run_id: str) -> bool:
    """Whether the store has a run that is not deleted."""
    try:
        return client.get_run(run_id).info.lifecycle_stage == "active"
    except MlflowException:
        return False


def log_files(client: MlflowClient, run_id: str, paths: Iterable[Path], folder: str | None = None) -> None:
    """Log files as artifacts of a run."""
    for path in paths:
        client.log_artifact(run_id, str(path), folder)


def _source() -> dict[str, str]:
    """The tags that MLflow shows as the source of a run: module, stage and dataset, and the commit."""
    module = ".".join(Path(sys.argv[0]).with_suffix("").parts[-3:]).removesuffix(".__main__")
    commit = provenance.git_revision()
    return {
        "mlflow.source.type": "LOCAL",
        "mlflow.source.name": " ".join([module, *sys.argv[1:]]),
        **({"mlflow.source.git.commit": commit} if commit != "unknown" else {}),
    }
