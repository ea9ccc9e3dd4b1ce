"""A search as a sentence: open its study, run it, rank its trials, export the best, log them."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import optuna
from optuna.trial import FrozenTrial

from contracts.errors import UserError
from models.search.fidelities import train_on_more_rows
from models.search.finalists import describe_finalist, rank_by_mean, train_with_more_seeds
from models.search.plan import Plan
from models.search.ranking import best_trials
from models.search.run import run_study
from models.search.samplers import sampler_note
from models.search.study import abandon_running, count_tried, open_study, resumable_trials, seconds_searched
from models.search.trial import TrialFiles, TrialResult
from models.search.workers.pool import Pool
from models.training.data import Data
from pipeline.data.folds import write_folds
from pipeline.data.training_data import write_training_data
from pipeline.paths import Paths, var
from pipeline.search.candidates import describe_choice, export_candidates, write_history, write_trials
from pipeline.search.ensembles import FEW, add_ensemble
from pipeline.search.progress import SearchProgress
from pipeline.search.studies import create_storage
from pipeline.search.study_log import StudyLog
from pipeline.tracking import databases, runs
from pipeline.tracking.failures import optional
from pipeline.tracking.locks import study_lock

if TYPE_CHECKING:
    from models.search.workers.cluster import Cluster


def search_and_export(plan: Plan, paths: Paths, pool: Pool, cluster: "Cluster | None" = None) -> None:
    """Search until the study has its budget, and leave its best trials as bundles.

    Args:
        pool: exports, and trains if there is no `cluster`.

    Raises:
        UserError: when no trial was trained to its end, with the reasons.
    """
    storage = databases.optuna_storage()
    databases.check_usable(storage, "OPTUNA_STORAGE", table="studies")
    databases.check_usable(runs.tracking_uri(), "MLFLOW_TRACKING_URI", table="experiments")
    with tempfile.TemporaryDirectory() as folder, study_lock(storage, plan.study):
        scratch = Path(folder)
        trainer = pool if cluster is None else cluster  # not `or`: a cluster without running trials is falsy
        data = _prepare(plan, paths, scratch)
        files = TrialFiles(var() / "studies" / plan.study)
        study = open_study(plan, create_storage(storage))
        with StudyLog(plan, paths, study) as log:
            abandon_running(study, "its search died", log.abandoned)
            progress = _run(plan, study, data, trainer, files, log)
            ranked = _rank(plan, study, data, trainer, files, log, progress)
            bundles, reasons = export_candidates(plan, ranked, files, paths, pool, data)
            best = list(bundles.values())
            if plan.search.ensemble > 1:
                bundles = add_ensemble(plan, bundles, ranked, files, paths, pool, data, log.ensemble, progress.say)
            write_trials(plan, study, paths.candidates / "trials.csv")
            log.finish(bundles)
            for reason in reasons:
                progress.say(reason)
            if plan.search.second_objective != "none":
                progress.say(describe_choice(plan, study, best[0]))
            progress.end(log.comparison(list(bundles.values())))
            with optional("the view of all trials in MLflow"):
                progress.say(f"all trials: {log.share_view()}")
        kept = [*best, *(ranked[:FEW] if plan.search.ensemble > 1 else ())]
        files.keep_only({trial.number for trial in kept} | resumable_trials(study))


def _prepare(plan: Plan, paths: Paths, folder: Path) -> Data:
    if plan.streams:
        print(f"  {plan.dataset}: {plan.streams}", flush=True)
    samples = plan.fidelities[:-1]
    if samples:
        share = f"{samples[0]:,} of {plan.n_rows:,} train rows"
        print(f"  {plan.dataset}: trials train on {share} (search.rows), the best also on more", flush=True)
    search = plan.search
    data = write_training_data(paths, folder, search.validation_rows, search.seed, bool(plan.streams), samples)
    if plan.search.folds > 1:
        write_folds(data, paths.prepared / "train.parquet", plan.source, plan.bins, search.folds, search.seed)
    return data


def _run(
    plan: Plan, study: optuna.Study, data: Data, trainer: "Pool | Cluster", files: TrialFiles, log: StudyLog
) -> SearchProgress:
    with SearchProgress(plan, study) as progress:

        def on_trial(trial: optuna.Trial, state: str, result: TrialResult | None, reason: str) -> None:
            if result is not None and result.history:
                write_history(files.history(trial.number), result.history)
            log.trial(trial, state, result, reason)
            progress.trial(trial, state, result, reason)

        if note := sampler_note(plan):
            progress.say(note)
        first = data.sample(plan.fidelities[0]) if len(plan.fidelities) > 1 else data
        run_study(study, plan, first, trainer, files, on_trial)
        if count_tried(study) == plan.n_configurations:
            progress.say(f"all {plan.n_configurations} configurations have been tried: nothing is left to try")
    return progress


def _rank(
    plan: Plan, study: optuna.Study, data: Data, trainer: "Pool | Cluster", files: TrialFiles, log: StudyLog,
    progress: SearchProgress,
) -> list[FrozenTrial]:  # fmt: skip
    """The trials that may be exported, the best first; finalists come before the others."""
    ranked = best_trials(study, plan.search.tolerance)
    if not ranked:
        raise nothing_trained(plan, study)

    def on_trained(trial: FrozenTrial, n_rows: int, result: TrialResult) -> None:
        write_history(files.history(trial.number), result.history)
        log.more_rows(trial, n_rows, result)
        figures = f"{plan.metric.name} {result.value:.4f} in {result.seconds:.1f} s"
        progress.say(f"trial {trial.number} on {n_rows:,} train rows: {figures}")

    if len(plan.fidelities) > 1:
        ranked = train_on_more_rows(study, ranked, plan, data, trainer, files, on_trained)
        progress.best = ranked[0].values[0]
    if plan.search.finalist_seeds:
        finalists, others = ranked[: plan.search.keep], ranked[plan.search.keep :]
        train_with_more_seeds(study, finalists, plan, data, trainer, files)
        log.finalists(finalists)
        finalists = rank_by_mean(study, finalists)
        for trial in finalists:
            progress.say(describe_finalist(study, trial, plan.metric.name))
        ranked = [*finalists, *others]
    return ranked


def nothing_trained(plan: Plan, study: optuna.Study) -> UserError:
    """Why a search has no best trial, and what to do."""
    reasons = sorted({str(trial.user_attrs["reason"]) for trial in study.trials if "reason" in trial.user_attrs})
    timeout = plan.search.timeout
    if timeout is not None and seconds_searched(study) >= timeout:
        more = f"make tune DATASET={plan.dataset} TIMEOUT={2 * timeout:.0f}"
        reasons.append(f"the {timeout:g} s of search.timeout are over; a longer search continues this one: {more}")
    return UserError("\n  ".join(["no trial was trained to its end:", *reasons]))
