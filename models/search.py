"""A study: what Optuna asks for is trained in worker processes, and what they report decides.

Only this process writes to the study, so that SQLite is enough for any number of workers on one machine.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import optuna
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from models.pool import Done, Failed, Pool, Progress, Stopped
from models.suggest import suggest
from models.trial import Data, TrialResult, TrialTask
from pipeline.params import Search, Train

# What stops a trial counts as an answer too: asking again would give the same one.
FINISHED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
ABANDONED = "abandoned"  # marks a trial whose search was ended before it: it does not count
RESUMES = "resumes"  # the number of the trial whose seed and checkpoint another one takes over
REPORTS = 40  # at most so many times does a trial report: a report costs more than a small epoch


OnTrial = Callable[[optuna.Trial, str, TrialResult | None, str], None]


@dataclass(frozen=True)
class Objective:
    """What makes the trials of a study comparable."""

    data: Data
    metric: str
    higher_is_better: bool
    train: Train


def open_study(name: str, storage: str, search: Search, objective: Objective) -> optuna.Study:
    """Create the study, or go on with the one of that name; trials left running by a dead search are closed."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        study_name=name,
        storage=optuna.storages.RDBStorage(storage, engine_kwargs={"connect_args": {"timeout": 60}})
        if storage.startswith("sqlite")
        else storage,
        direction=StudyDirection.MAXIMIZE if objective.higher_is_better else StudyDirection.MINIMIZE,
        load_if_exists=True,
        pruner=optuna.pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=search.warmup_epochs),
    )
    # A resumed study must not draw the same random numbers once more.
    study.sampler = optuna.samplers.TPESampler(seed=search.seed + len(study.trials))
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        study._storage.set_trial_user_attr(trial._trial_id, ABANDONED, True)
        study.tell(trial.number, state=TrialState.FAIL)
        # With the number of the trial that it goes on with: same seed, same checkpoint.
        study.enqueue_trial(trial.params, {RESUMES: trial.user_attrs.get(RESUMES, trial.number)})
    return study


def finished_trials(study: optuna.Study) -> list[FrozenTrial]:
    """The trials that count towards the budget."""
    trials = study.get_trials(deepcopy=False, states=FINISHED)
    return [trial for trial in trials if not trial.user_attrs.get(ABANDONED)]


def best_trials(study: optuna.Study, keep: int) -> list[FrozenTrial]:
    """The best completed trials; ties go to fewer parameters, then to the earlier trial."""
    sign = -1 if study.direction == StudyDirection.MAXIMIZE else 1
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    ranked = sorted(complete, key=lambda t: (sign * (t.value or 0), t.user_attrs["n_parameters"], t.number))
    return ranked[:keep]


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
    )


def run_study(
    study: optuna.Study,
    search: Search,
    objective: Objective,
    pool: Pool,
    workers: int,
    threads: int,
    save_to: Callable[[int], Path],
    on_trial: OnTrial,
) -> None:
    """Train until the study has `search.n_trials` finished trials.

    Args:
        workers: trials that are trained at the same time, each with so many `threads`.
        save_to: where the trained network of a trial is put, by its number.
        on_trial: told every trial that ended, before the study is: the trial, its state, its result where it
            was trained to the end, and the reason where it failed.
    """
    while len(finished_trials(study)) < search.n_trials:
        missing = search.n_trials - len(finished_trials(study)) - len(pool)
        for _ in range(min(missing, workers - len(pool))):
            trial = study.ask()
            hyperparameters = suggest(trial, search.space)
            number = trial.user_attrs.get(RESUMES, trial.number)
            seed = seed_of(search, number)
            for name, value in {"seed": seed, "hyperparameters": hyperparameters}.items():
                trial.set_user_attr(name, value)
            task = task_for(objective, hyperparameters, seed, threads)
            task = replace(task, checkpoint=save_to(number).with_name("checkpoint"))
            pool.start(trial, "train", task, save_to(trial.number))
        for event in pool.events():
            _handle(study, event, pool, on_trial)


def _handle(
    study: optuna.Study,
    event: Progress | Done | Stopped | Failed,
    pool: Pool,
    on_trial: OnTrial,
) -> None:
    trial: optuna.Trial = event.job
    match event:
        case Progress(_, epoch, value):
            trial.report(value, epoch)
            pool.answer(event, go_on=not trial.should_prune())
        case Done(_, result):
            trial.set_user_attr("n_parameters", result.n_parameters)
            trial.set_user_attr("best_epoch", result.best_epoch)
            on_trial(trial, "complete", result, "")
            study.tell(trial, result.value)
        case Stopped():
            on_trial(trial, "pruned", None, "")
            study.tell(trial, state=TrialState.PRUNED)
        case Failed(_, reason):
            trial.set_user_attr("reason", reason)
            on_trial(trial, "failed", None, reason)
            study.tell(trial, state=TrialState.FAIL)
