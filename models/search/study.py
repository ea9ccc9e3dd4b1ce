"""A study: what Optuna asks for is trained in worker processes, and what they report decides.

Only this process writes to the study, so that SQLite is enough for any number of workers on one machine.
"""

import errno
import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import optuna
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from contracts.settings.load import Search, Train
from models.search.configurations import default_configuration, n_configurations
from models.search.duplicates import take_over, twin_of
from models.search.pruners import pruner_of
from models.search.samplers import chosen, sampler_of
from models.search.suggest import suggest
from models.search.trial import OnTrial, TrialTask
from models.search.workers.events import Done, Failed, Progress, Stopped
from models.search.workers.pool import Pool
from models.search.write_behind import WriteBehind
from models.training.data import Data

if TYPE_CHECKING:
    from models.search.workers.cluster import Cluster

# What stops a trial counts as an answer too: asking again would give the same one.
FINISHED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
ABANDONED = "abandoned"  # why a trial was ended from outside: it does not count, and is asked for again
RESUMES = "resumes"  # the number of the trial whose seed and checkpoint another one takes over
SECONDS = "seconds"  # how long the study has been searched, over all its runs
MOST = 100_000  # configurations that are counted, to know when all have been tried
REPORTS = 20  # at most so many times does a trial report: a report costs more than a small epoch


@dataclass(frozen=True)
class Objective:
    """What makes the trials of a study comparable."""

    data: Data
    metric: str
    higher_is_better: bool
    train: Train
    folds: int = 1
    reports_mean: bool = True
    second: str = "none"

    @property
    def function(self) -> str:
        """What trains a trial, by its name in `models.search.train_trial`."""
        return "train" if self.folds == 1 else "train_folds"


def open_study(name: str, storage: str, search: Search, objective: Objective) -> optuna.Study:
    """Create the study, or go on with the one of that name."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    is_file = storage.startswith("sqlite")
    database = optuna.storages.RDBStorage(
        storage, engine_kwargs={"connect_args": {"timeout": 60}} if is_file else {"pool_pre_ping": True}
    )
    if is_file and not storage.endswith(":memory:"):
        with database.engine.connect() as connection:  # one wait for the disk per commit in place of three
            connection.exec_driver_sql("pragma journal_mode = wal")
    study = optuna.create_study(
        study_name=name,
        storage=WriteBehind(database, name),
        directions=[
            StudyDirection.MAXIMIZE if objective.higher_is_better else StudyDirection.MINIMIZE,
            *([] if objective.second == "none" else [StudyDirection.MINIMIZE]),
        ],
        load_if_exists=True,
        pruner=pruner_of(search, objective.train.epochs if objective.folds == 1 else objective.folds),
    )
    study.sampler = sampler_of(search, len(study.trials))
    if not study.trials and chosen(search) != "grid":
        study.enqueue_trial(default_configuration(search.space))
    return study


def abandon(study: optuna.Study, why: str, on_abandoned: Callable[[int], None] = lambda number: None) -> None:
    """Close the trials that run although nobody trains them any more, and ask for the same ones again.

    An end in the middle of this does no harm: what is still open is closed the next time.

    Args:
        on_abandoned: told the number of each, before the study is.
    """
    waiting = study.get_trials(deepcopy=False, states=(TrialState.WAITING,))
    asked_again = {trial.user_attrs.get(RESUMES) for trial in waiting}
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        on_abandoned(trial.number)
        # With the number of the trial that it goes on with: same seed, same checkpoint.
        number = trial.user_attrs.get(RESUMES, trial.number)
        settings = {**trial.system_attrs.get("fixed_params", {}), **trial.params}
        if settings and number not in asked_again:
            study.enqueue_trial(settings, {RESUMES: number})
        study._storage.set_trial_user_attr(trial._trial_id, ABANDONED, why)
        study.tell(trial.number, state=TrialState.FAIL)


def seconds_searched(study: optuna.Study) -> float:
    """How long the study has been searched, over all its runs; one that was killed counts up to its last trial."""
    return float(study.user_attrs.get(SECONDS, 0))


def to_go_on_with(study: optuna.Study) -> set[int]:
    """The numbers of the trials whose checkpoints the next search takes over."""
    waiting = study.get_trials(deepcopy=False, states=(TrialState.WAITING,))
    return {trial.user_attrs[RESUMES] for trial in waiting if RESUMES in trial.user_attrs}


def finished_trials(study: optuna.Study) -> list[FrozenTrial]:
    """The trials that count towards the budget."""
    trials = study.get_trials(deepcopy=False, states=FINISHED)
    return [trial for trial in trials if not trial.user_attrs.get(ABANDONED)]


def tried(study: optuna.Study) -> int:
    """How many different configurations have been tried, or are being tried."""
    trials = study.get_trials(deepcopy=False, states=(*FINISHED, TrialState.RUNNING))
    return len({frozenset(trial.params.items()) for trial in trials if ABANDONED not in trial.user_attrs})


def seed_of(search: Search, trial_number: int) -> int:
    """A seed of its own for every trial, the same whenever it is trained again."""
    return search.seed + trial_number


def task_for(objective: Objective, hyperparameters: dict[str, Any], seed: int, threads: int) -> TrialTask:
    return TrialTask(
        data=objective.data,
        hyperparameters=hyperparameters,
        seed=seed,
        monitor=objective.metric,
        higher_is_better=objective.higher_is_better,
        train=objective.train,
        report_every=max(1, objective.train.epochs // REPORTS),
        threads=threads,
        folds=objective.folds,
        reports_mean=objective.reports_mean,
        measures_latency=objective.second == "latency",
    )


def run_study(
    study: optuna.Study,
    search: Search,
    objective: Objective,
    pool: "Pool | Cluster",
    workers: Callable[[], int],
    threads: int,
    save_to: Callable[[int], Path],
    on_trial: OnTrial,
) -> None:
    """Train until the study has its budget: `search.n_trials` finished trials or `search.timeout` seconds; or
    until every configuration of a space that has no more of them has been tried.

    Trials that are running when the time is over are ended; a search with more time goes on from their checkpoints.

    Args:
        workers: tells how many trials may be trained at the same time now, each with so many `threads`.
        save_to: where the trained network of a trial is put, by its number.
        on_trial: told every trial that ended, before the study is: the trial, its state, its result where it
            was trained to the end, and the reason where it failed.
    """
    database = study._storage
    assert isinstance(database, WriteBehind)
    began = time.monotonic() - seconds_searched(study)
    n_different = n_different_of(search)
    n_finished = len(finished_trials(study))
    with database.behind():
        while True:
            missing = math.inf if search.n_trials is None else search.n_trials - n_finished
            left = None if search.timeout is None else search.timeout - (time.monotonic() - began)
            if missing <= 0 or (left is not None and left <= 0):
                break
            for _ in range(int(min(missing, workers())) - len(pool)):
                if n_different is not None and tried(study) >= n_different:
                    break
                trial = study.ask()
                hyperparameters = suggest(trial, search.space)
                twin = twin_of(study, trial)
                if twin is not None:
                    database.flush()  # that it runs: it is about to be logged
                    take_over(study, trial, twin, hyperparameters, on_trial)
                    n_finished += 1
                    continue
                number = trial.user_attrs.get(RESUMES, trial.number)
                seed = seed_of(search, number)
                task = task_for(objective, hyperparameters, seed, threads)
                task = replace(task, checkpoint=save_to(number).with_name("checkpoint"))
                pool.start(trial, objective.function, task, save_to(trial.number), limit=search.trial_timeout)
                for name, value in {"seed": seed, "hyperparameters": hyperparameters}.items():
                    trial.set_user_attr(name, value)
                database.flush()  # while it trains
            database.flush()
            if not len(pool) and n_different is not None and tried(study) >= n_different:
                break
            for event in pool.events(left) if len(pool) or not workers() else ():
                _handle(study, event, pool, on_trial)
                if not isinstance(event, Progress):
                    n_finished += 1
                    study.set_user_attr(SECONDS, time.monotonic() - began)
    if pool.close():
        abandon(study, "the time was over")
        study.set_user_attr(SECONDS, time.monotonic() - began)


def n_different_of(search: Search) -> int | None:
    """How many different configurations there are, where the budget has room for all of them."""
    return n_configurations(search.space, MOST if search.n_trials is None else search.n_trials)


def _handle(
    study: optuna.Study,
    event: Progress | Done | Stopped | Failed,
    pool: "Pool | Cluster",
    on_trial: OnTrial,
) -> None:
    trial: optuna.Trial = event.job
    match event:
        case Progress() if len(study.directions) > 1:  # Optuna prunes by one objective only
            pool.answer(event, go_on=True)
        case Progress(_, epoch, value):
            trial.report(value, epoch)
            pool.answer(event, go_on=not trial.should_prune())
        case Done(_, result):
            trial.set_user_attr("n_parameters", result.n_parameters)
            trial.set_user_attr("best_epoch", result.best_epoch)
            trial.set_user_attr("threads", result.threads)
            on_trial(trial, "complete", result, "")
            second = result.n_parameters if result.latency is None else result.latency
            study.tell(trial, [result.value, second][: len(study.directions)])
        case Stopped():
            on_trial(trial, "pruned", None, "")
            study.tell(trial, state=TrialState.PRUNED)
        case Failed(_, reason) if os.strerror(errno.ENOSPC) in reason:
            raise OSError(errno.ENOSPC, reason)  # no fault of the trial's, which is trained when there is room again
        case Failed(_, reason):
            trial.set_user_attr("reason", reason)
            on_trial(trial, "failed", None, reason)
            study.tell(trial, state=TrialState.FAIL)
