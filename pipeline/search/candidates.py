"""The best trials of a study as bundles, the table of all trials, and a sentence about the choice."""

import shutil
from pathlib import Path

import numpy as np
import optuna
import pandas as pd
from optuna.trial import FrozenTrial, TrialState

from contracts.bundle import BACKGROUND, Calibration, Manifest, seal
from contracts.errors import UserError
from contracts.files import write_atomically
from contracts.metrics import Metric
from contracts.schema import load_schema
from models.search.fidelities import most_rows
from models.search.plan import Plan
from models.search.ranking import pareto_front
from models.search.study import ABANDONED
from models.search.trial import TrialFiles
from models.search.workers.pool import Pool
from models.training.data import Data
from pipeline.evaluation.plots import read_history
from pipeline.paths import Paths
from pipeline.tracking import provenance

BACKGROUND_ROWS = 64  # twice as many rows lower the error of an explanation by a third, and double its time


def export_candidates(
    plan: Plan, ranked: list[FrozenTrial], files: TrialFiles, paths: Paths, pool: Pool, data: Data
) -> tuple[dict[Path, FrozenTrial], list[str]]:
    """Write `candidates/<rank>/` for the first `plan.search.keep` trials that can be exported.

    Returns:
        the trial of each bundle, the best first; and for each trial that cannot be exported the reason.

    Raises:
        UserError: where no trial can be exported.
    """
    shutil.rmtree(paths.candidates, ignore_errors=True)  # candidates of an earlier search
    exported: dict[Path, FrozenTrial] = {}
    reasons: list[str] = []
    left = list(ranked)
    while left and len(exported) < plan.search.keep:
        n = plan.search.keep - len(exported)
        batch, left = left[:n], left[n:]
        for trial in batch:
            _train_again_where_missing(plan, trial, files, data, pool)
        folders = [paths.candidates / f"trial-{trial.number}" for trial in batch]
        calls = [
            (files.network(trial.number), folder, data, calibrates(plan))
            for trial, folder in zip(batch, folders, strict=True)
        ]
        for trial, folder, calibration in zip(batch, folders, pool.results("export_bundle", calls), strict=True):
            if isinstance(calibration, str):
                shutil.rmtree(folder)
                reasons.append(f"trial {trial.number} is left out: {calibration}")
                continue
            bundle = folder.rename(paths.candidates / str(len(exported) + 1))
            shutil.copy(files.history(trial.number), bundle / "history.csv")
            complete_bundle(plan, trial, data, bundle, calibration)
            exported[bundle] = trial
    if not exported:
        raise UserError("\n  ".join(["no trained network can be exported to ONNX:", *reasons]))
    return exported, reasons


def calibrates(plan: Plan) -> bool:
    """Whether probabilities may be calibrated. Class weights shift them on purpose, which a calibration would undo."""
    return plan.train.class_weights == "none"


def complete_bundle(plan: Plan, trial: FrozenTrial, data: Data, bundle: Path, calibration: Calibration | None) -> None:
    """Complete the bundle of an exported network and its `history.csv`."""
    shutil.copy(data.schema, bundle / "schema.json")
    _write_background(plan, data, bundle)
    manifest = _manifest(plan, trial, bundle / "history.csv")
    seal(bundle, manifest.model_copy(update={"calibration": calibration}))


def _write_background(plan: Plan, data: Data, bundle: Path) -> None:
    """Write a sample of the train rows, for explanations. Images need none."""
    if load_schema(data.schema).image is None:
        features = data.split("train").features
        rows = np.random.default_rng(plan.search.seed).permutation(len(features))[:BACKGROUND_ROWS]
        np.save(bundle / BACKGROUND, np.ascontiguousarray(features[np.sort(rows)]))


def write_trials(plan: Plan, study: optuna.Study, path: Path) -> None:
    """Write a row per trial that began and was not ended from outside; with two objectives their values by name, and
    whether it is on the Pareto front; with `search.rows` its train rows, the most that the trial was trained on again,
    and its value there.
    """
    table = study.trials_dataframe()
    if plan.search.second_objective != "none":
        table = table.rename(columns={"values_0": plan.metric.name, "values_1": plan.search.second_objective})
        table["front"] = table["number"].isin([trial.number for trial in pareto_front(study)])
    if len(plan.fidelities) > 1:
        table["train_rows"] = plan.fidelities[0]
        table["most_train_rows"], table["value_on_most_train_rows"] = zip(*most_rows(study, plan), strict=True)
    trials = study.get_trials(deepcopy=False)
    began = [trial.state != TrialState.WAITING and ABANDONED not in trial.user_attrs for trial in trials]
    table[began].to_csv(path, index=False)


def write_history(path: Path, history: dict[str, list[float]]) -> None:
    """Write a row for each epoch, from 1."""
    frame = pd.DataFrame(history)
    frame.insert(0, "epoch", range(1, len(frame) + 1))
    with write_atomically(path) as unfinished:
        frame.to_csv(unfinished, index=False)


def describe_choice(plan: Plan, study: optuna.Study, trial: FrozenTrial) -> str:
    """Why this trial of the Pareto front is the best, in a sentence."""
    value, second = trial.values
    size = f"{second * 1e6:.0f} µs a row" if plan.search.second_objective == "latency" else f"{second:,.0f} parameters"
    return (
        f"of the {len(pareto_front(study))} trials that no other beats, trial {trial.number} is the smallest within "
        f"{plan.search.tolerance:.1%} of the best {plan.metric.name}: {value:.4g} with {size}"
    )


def _train_again_where_missing(plan: Plan, trial: FrozenTrial, files: TrialFiles, data: Data, pool: Pool) -> None:
    """Train a trial again from the study's attributes if its network is not on disk any more.

    A trial of folds leaves no network, so it is trained on all train rows.
    """
    if files.network(trial.number).exists() and files.history(trial.number).exists():
        return
    stored = trial.user_attrs
    task = plan.trial_task(data, stored["hyperparameters"], stored["seed"], stored["threads"])
    pool.start(None, "train", task, files.network(trial.number))
    write_history(files.history(trial.number), pool.result().history)


def _manifest(plan: Plan, trial: FrozenTrial, history: Path) -> Manifest:
    value, best_epoch = trial.values[0], trial.user_attrs["best_epoch"]
    members = trial.user_attrs.get("members", ())
    if plan.search.folds > 1 and not members:
        # The trial's values are means over folds; this network was trained on all train rows.
        value, best_epoch = _best_epoch(history, plan.metric)
    return Manifest(
        dataset=plan.dataset,
        task=plan.task,
        metric=plan.metric.name,
        validation={plan.metric.name: value},
        hyperparameters=trial.user_attrs["hyperparameters"],
        seed=trial.user_attrs["seed"],
        threads=trial.user_attrs["threads"],
        trial=trial.number,
        study=plan.study,
        best_epoch=best_epoch,
        n_parameters=trial.user_attrs["n_parameters"],
        train_md5=plan.data_md5["train"],
        validation_md5=plan.data_md5["validation"],
        git_revision=provenance.git_revision(),
        members=members,
        teachers=trial.user_attrs.get("teachers", ()),
        mlflow_run_id=trial.user_attrs.get("mlflow_run_id", ""),
        versions=provenance.versions("tensorflow", "keras", "numpy", "onnx", "tf2onnx", "onnxruntime"),
    )


def _best_epoch(history: Path, metric: Metric) -> tuple[float, int]:
    """The best validation value in a `history.csv`, and its epoch, from 0."""
    values = read_history(history)[f"val_{metric.name}"]
    best = max(values) if metric.higher_is_better else min(values)
    return best, values.index(best)
