"""The loop of a search: Optuna suggests configurations, worker processes train them, and their reports go to the
pruner.
"""

import errno
import math
import time
from typing import TYPE_CHECKING

import optuna
from optuna.pruners import NopPruner
from optuna.trial import TrialState

from models.search.duplicates import earlier_trial, take_over
from models.search.plan import Plan
from models.search.space import suggest
from models.search.study import RESUMES, SECONDS, abandon_running, count_tried, finished_trials, seconds_searched
from models.search.trial import OnTrial, TrialFiles
from models.search.workers.events import Done, Failed, Progress, Stopped
from models.search.workers.pool import Pool
from models.training.data import Data

if TYPE_CHECKING:
    from models.search.workers.cluster import Cluster


def run_study(
    study: optuna.Study,
    plan: Plan,
    data: Data,
    trainer: "Pool | Cluster",
    files: TrialFiles,
    on_trial: OnTrial,
) -> None:
    """Train until the study has its budget, `n_trials` finished trials or `timeout` seconds, or until every one of its
    configurations has been tried.

    Trials that run when the time is over are ended; a search with more time resumes them from their checkpoints.

    Args:
        on_trial: called with every trial that has ended, before the study knows its end.
    """
    began = time.monotonic() - seconds_searched(study)
    n_finished = len(finished_trials(study))
    while True:
        missing = math.inf if plan.search.n_trials is None else plan.search.n_trials - n_finished
        left = None if plan.search.timeout is None else plan.search.timeout - (time.monotonic() - began)
        if missing <= 0 or (left is not None and left <= 0):
            break
        for _ in range(int(min(missing, trainer.room())) - len(trainer)):
            if _is_exhausted(study, plan):
                break
            n_finished += _start_trial(study, plan, data, trainer, files, on_trial)
        if not len(trainer) and _is_exhausted(study, plan):
            break
        for event in trainer.events(left) if len(trainer) or not trainer.room() else ():
            _handle(study, plan.warmup, event, trainer, on_trial)
            if not isinstance(event, Progress):
                n_finished += 1
                study.set_user_attr(SECONDS, time.monotonic() - began)
    if trainer.close():
        abandon_running(study, "the time was over")
        study.set_user_attr(SECONDS, time.monotonic() - began)


def _is_exhausted(study: optuna.Study, plan: Plan) -> bool:
    """Whether every configuration of the space has been tried."""
    return plan.n_configurations is not None and count_tried(study) >= plan.n_configurations


def _start_trial(
    study: optuna.Study, plan: Plan, data: Data, trainer: "Pool | Cluster", files: TrialFiles, on_trial: OnTrial
) -> bool:
    """Start one trial; True where it has ended at once, because its configuration was tried before."""
    trial = study.ask()
    hyperparameters = suggest(trial, plan.search.space)
    earlier = earlier_trial(study, trial)
    if earlier is not None:
        take_over(study, trial, earlier, hyperparameters, on_trial)
        return True
    number = trial.user_attrs.get(RESUMES, trial.number)
    task = plan.trial_task(data, hyperparameters, plan.seed_of(number), checkpoint=files.checkpoint(number))
    trainer.start(trial, task.function, task, files.network(trial.number), limit=plan.search.trial_timeout)
    # Written while the trial trains, because each attribute is a commit.
    trial.set_user_attr("seed", task.seed)
    trial.set_user_attr("hyperparameters", hyperparameters)
    return False


def _handle(
    study: optuna.Study, warmup: int, event: Progress | Done | Stopped | Failed, trainer: "Pool | Cluster",
    on_trial: OnTrial,
) -> None:  # fmt: skip
    trial: optuna.Trial = event.job
    match event:
        case Progress() if len(study.directions) > 1:  # Optuna prunes by one objective only
            trainer.answer(event, go_on=True)
        case Progress(_, epoch, value) if epoch < warmup or isinstance(study.pruner, NopPruner):
            trainer.answer(event, go_on=True)  # it trains on while the study is written
            trial.report(value, epoch)
        case Progress(_, epoch, value):
            trial.report(value, epoch)
            trainer.answer(event, go_on=not trial.should_prune())
        case Done(_, result):
            for name in ("n_parameters", "best_epoch", "threads"):
                trial.set_user_attr(name, getattr(result, name))
            on_trial(trial, "complete", result, "")
            second = result.n_parameters if result.latency is None else result.latency
            study.tell(trial, [result.value, second][: len(study.directions)])
        case Stopped():
            on_trial(trial, "pruned", None, "")
            study.tell(trial, state=TrialState.PRUNED)
        case Failed(_, reason, disk_full=True):
            raise OSError(errno.ENOSPC, reason)  # the trial did not fail: it is trained again
        case Failed(_, reason):
            trial.set_user_attr("reason", reason)
            on_trial(trial, "failed", None, reason)
            study.tell(trial, state=TrialState.FAIL)
