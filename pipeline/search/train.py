"""A study from its data to its candidate bundles: search, export, log."""

import csv
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import optuna
import pandas as pd
from optuna.trial import FrozenTrial

from contracts.bundle import Manifest, seal
from contracts.errors import UserError
from contracts.files import md5, write_atomically
from contracts.metrics import BY_NAME, Metric
from contracts.schema import load_schema
from contracts.settings.load import Params
from contracts.settings.pruners import Wilcoxon
from models.search.finalists import describe_finalists, rank_by_mean, train_again
from models.search.pruners import chosen as pruner
from models.search.ranking import best_trials, front
from models.search.samplers import notes
from models.search.study import (
    Objective,
    abandon,
    n_different_of,
    open_study,
    run_study,
    seconds_searched,
    task_for,
    to_go_on_with,
    tried,
)
from models.search.trial import TrialResult
from models.search.workers.pool import Pool
from models.training.data import Data, Split
from pipeline.data.folds import prepare_folds
from pipeline.data.splits import read_part, read_weights
from pipeline.paths import Paths, var
from pipeline.search.plan import check
from pipeline.search.progress import TrialProgress
from pipeline.search.study_log import StudyLog
from pipeline.tracking import databases, provenance, runs

if TYPE_CHECKING:
    from models.search.workers.cluster import Cluster


def search_and_export(params: Params, paths: Paths, pool: Pool, cluster: "Cluster | None" = None) -> None:
    """Search until the study has its budget, and leave its best trials as bundles.

    Args:
        pool: exports, and trains where there is no `cluster`.

    Raises:
        UserError: when no trial could be trained to its end, with the reasons.
    """
    check(params, load_schema(paths.prepared / "schema.json"))
    studies = provenance.optuna_storage()
    databases.check(studies, "OPTUNA_STORAGE", table="studies")
    databases.check(runs.tracking_uri(), "MLFLOW_TRACKING_URI", table="experiments")
    name = provenance.study_name(params, paths)
    with (
        tempfile.TemporaryDirectory() as folder,
        provenance.file_lock(name, f"study {name} is being searched"),
        databases.study_lock(studies, name),
    ):
        data = prepare_data(paths, Path(folder))
        metric = BY_NAME[params.metric]
        folds = params.search.folds
        if folds > 1:
            prepare_folds(params, paths, data)
        second = params.search.second_objective
        reports_mean = not isinstance(pruner(params.search), Wilcoxon)
        objective = Objective(data, metric.name, metric.higher_is_better, params.train, folds, reports_mean, second)
        cores = provenance.cores()
        workers = cores if params.search.workers == "auto" else params.search.workers
        threads = max(1, cores // workers)
        trains, room = (pool, lambda: workers) if cluster is None else (cluster, cluster.room)
        home = var() / "studies" / name
        study = open_study(name, studies, params.search, objective)
        with StudyLog(params, paths, study) as log:
            abandon(study, "its search died", log.abandoned)
            with TrialProgress(params.dataset, metric, params.search, study) as progress:

                def on_trial(trial: optuna.Trial, state: str, result: TrialResult | None, reason: str) -> None:
                    if result is not None and result.history:
                        _write_history(home / str(trial.number) / "history.csv", result.history)
                    log.trial(trial, state, result, reason)
                    progress.trial(trial, state, result, reason)

                def save_to(number: int) -> Path:
                    return home / str(number) / "model.keras"

                for note in notes(params.search):
                    progress.say(note)
                run_study(study, params.search, objective, trains, room, threads, save_to, on_trial)
                if tried(study) == n_different_of(params.search):
                    progress.say(f"all {tried(study)} configurations have been tried: nothing is left to try")
            best = best_trials(study, params.search.keep, params.search.tolerance)
            if not best:
                raise nothing_trained(params, study)
            if params.search.finalist_seeds:
                train_again(study, best, params.search, objective, trains, room, threads, Path(folder))
                log.finalists(best)
                best = rank_by_mean(study, best)
                for trial in best:
                    progress.say(describe_finalists(study, trial, metric.name))
            _train_missing(best, home, objective, pool)
            folders = [paths.candidates / str(rank) for rank in range(1, len(best) + 1)]
            pool.start(None, "export_all", [home / str(t.number) / "model.keras" for t in best], folders, data)
            log.pictures(best[0])  # meanwhile
            pool.result()
            for trial, bundle in zip(best, folders, strict=True):
                shutil.copy(paths.prepared / "schema.json", bundle / "schema.json")
                shutil.copy(home / str(trial.number) / "history.csv", bundle / "history.csv")
                seal(bundle, _manifest(params, paths, trial, name, bundle / "history.csv"))
            _table(study, params.metric, second).to_csv(paths.candidates / "trials.csv", index=False)
            log.finish(best, folders)
            if second != "none":
                progress.say(_taken(study, best[0], params))
            progress.end(log.comparison(best))
            _forget_all_but({trial.number for trial in best} | to_go_on_with(study), home)


def prepare_data(paths: Paths, folder: Path) -> Data:
    """Train and validation rows, encoded, where worker processes map them into memory."""
    schema = load_schema(paths.prepared / "schema.json")
    data = Data(folder, paths.prepared / "schema.json")
    for part in ("train", "validation"):
        file = paths.prepared / f"{part}.parquet"
        data.save(part, Split(*read_part(file, schema), read_weights(file, schema)))
    return data


def _train_missing(best: list[FrozenTrial], home: Path, objective: Objective, pool: Pool) -> None:
    """Train again, from what the study stored, the trials whose network is not on disk any more."""
    for trial in best:
        folder = home / str(trial.number)
        if (folder / "model.keras").exists() and (folder / "history.csv").exists():
            continue
        told = trial.user_attrs
        task = task_for(objective, told["hyperparameters"], told["seed"], told["threads"])
        pool.start(None, "train", task, folder / "model.keras")
        result = pool.result()
        _write_history(folder / "history.csv", result.history)


def _manifest(params: Params, paths: Paths, trial: FrozenTrial, study: str, history: Path) -> Manifest:
    value, best_epoch = trial.values[0], trial.user_attrs["best_epoch"]
    if params.search.folds > 1:  # the trial's are means over folds; this network came after them, on all train rows
        value, best_epoch = _reached(history, BY_NAME[params.metric])
    return Manifest(
        dataset=params.dataset,
        task=params.source.task,
        metric=params.metric,
        validation={params.metric: value},
        hyperparameters=trial.user_attrs["hyperparameters"],
        seed=trial.user_attrs["seed"],
        threads=trial.user_attrs["threads"],
        trial=trial.number,
        study=study,
        best_epoch=best_epoch,
        n_parameters=trial.user_attrs["n_parameters"],
        train_md5=md5(paths.prepared / "train.parquet"),
        validation_md5=md5(paths.prepared / "validation.parquet"),
        git_revision=provenance.git_revision(),
        mlflow_run_id=trial.user_attrs["mlflow_run_id"],
        versions=provenance.versions("tensorflow", "keras", "numpy", "onnx", "tf2onnx", "onnxruntime"),
    )


def _reached(history: Path, metric: Metric) -> tuple[float, int]:
    """The best value on validation in a `history.csv`, and its epoch, from 0."""
    with history.open(newline="", encoding="utf-8") as file:
        values = [float(row[f"val_{metric.name}"]) for row in csv.DictReader(file)]
    best = max(values) if metric.higher_is_better else min(values)
    return best, values.index(best)


def _table(study: optuna.Study, metric: str, second: str) -> pd.DataFrame:
    """A row per trial; with two objectives their values by name, and whether the trial is on the front."""
    table = study.trials_dataframe()
    if second != "none":
        table = table.rename(columns={"values_0": metric, "values_1": second})
        table["front"] = table["number"].isin([trial.number for trial in front(study)])
    return table


def _taken(study: optuna.Study, trial: FrozenTrial, params: Params) -> str:
    value, second = trial.values
    size = (
        f"{second * 1e6:.0f} µs a row" if params.search.second_objective == "latency" else f"{second:,.0f} parameters"
    )
    return (
        f"of {len(front(study))} trials that no other beats, trial {trial.number} is taken, the smallest within "
        f"{params.search.tolerance:.1%} of the best {params.metric}: {value:.4g} with {size}"
    )


def _write_history(path: Path, history: dict[str, list[float]]) -> None:
    frame = pd.DataFrame(history)
    frame.insert(0, "epoch", range(1, len(frame) + 1))
    with write_atomically(path) as unfinished:
        frame.to_csv(unfinished, index=False)


def nothing_trained(params: Params, study: optuna.Study) -> UserError:
    """Why a search has no best trial, and what to do."""
    reasons = sorted({str(trial.user_attrs["reason"]) for trial in study.trials if "reason" in trial.user_attrs})
    timeout = params.search.timeout
    if timeout is not None and seconds_searched(study) >= timeout:
        more = f"make tune DATASET={params.dataset} TIMEOUT={2 * timeout:.0f}"
        reasons.append(f"the {timeout:g} s of search.timeout are over; a longer search goes on from here: {more}")
    return UserError("\n  ".join(["no trial was trained to its end:", *reasons]))


def _forget_all_but(trials: set[int], home: Path) -> None:
    for folder in home.iterdir():
        if int(folder.name) not in trials:
            shutil.rmtree(folder)
