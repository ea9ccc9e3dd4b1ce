"""The best trials are trained again with other seeds, which shows how much of their lead was luck."""

import errno
import statistics
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import optuna
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial

from models.search.plan import Plan
from models.search.trial import TrialFiles, TrialTask
from models.search.workers.events import Done, Failed, Progress
from models.search.workers.pool import Pool
from models.training.data import Data

if TYPE_CHECKING:
    from models.search.workers.cluster import Cluster

SEEDS_APART = 7_368_787  # distance between the seeds of a finalist, larger than that between initialisations or trials


def train_with_more_seeds(
    study: optuna.Study,
    finalists: list[FrozenTrial],
    plan: Plan,
    data: Data,
    trainer: "Pool | Cluster",
    files: TrialFiles,
) -> None:
    """Train each finalist with `finalist_seeds` other seeds. The study keeps the values, so that each seed is trained
    once. A training that fails leaves no value.
    """
    todo = [
        (trial, number)
        for trial in finalists
        for number in range(1, plan.search.finalist_seeds + 1)
        if number not in _of_seeds(study, trial)
    ]

    def task_of(job: tuple[FrozenTrial, int]) -> tuple[TrialTask, Path]:
        trial, number = job
        task = plan.trial_task(data, trial.user_attrs["hyperparameters"], further_seed(trial, number))
        return task, files.network(trial.number, number)

    for end in train_each(todo, task_of, trainer, plan.limit(plan.n_rows)):
        trial, number = end.job
        _keep(study, trial, number, end.result.value if isinstance(end, Done) else None)


def train_each(
    jobs: list[Any], task_of: Callable[[Any], tuple[TrialTask, Path]], trainer: "Pool | Cluster", limit: float | None
) -> Iterator[Done | Failed]:
    """Train every job to its end, as many at the same time as the workers have room for, and yield how each ended.

    Args:
        task_of: the task of a job, and the file of its network.
        limit: seconds after which a training has failed.
    """
    todo = list(jobs)
    while todo or len(trainer):
        while todo and len(trainer) < trainer.room():
            job = todo.pop(0)
            task, network = task_of(job)
            trainer.start(job, task.function, task, network, limit=limit)
        for event in trainer.events():
            match event:
                case Progress():
                    trainer.answer(event, go_on=True)
                case Failed(_, reason, disk_full=True):
                    raise OSError(errno.ENOSPC, reason)  # it is trained when there is room again
                case Done() | Failed():
                    yield event


def further_seed(trial: FrozenTrial, number: int) -> int:
    """The seed of a finalist's further training; number 0 is the trial's own seed."""
    return int(trial.user_attrs["seed"]) + SEEDS_APART * number


def values_of_seeds(study: optuna.Study, trial: FrozenTrial) -> list[float]:
    """The values that a trial reached with its own seed and with the others."""
    return [trial.values[0], *(value for value in _values(study, trial) if value is not None)]


def rank_by_mean(study: optuna.Study, finalists: list[FrozenTrial]) -> list[FrozenTrial]:
    """Finalists in the order of their means; those that failed with any seed come last."""
    sign = -1 if study.directions[0] == StudyDirection.MAXIMIZE else 1

    def rank(trial: FrozenTrial) -> tuple[bool, float]:
        return None in _values(study, trial), sign * statistics.fmean(values_of_seeds(study, trial))

    return sorted(finalists, key=rank)


def describe_finalist(study: optuna.Study, trial: FrozenTrial, metric: str) -> str:
    """Mean and standard deviation over the seeds of one finalist, in a sentence."""
    values, failed = values_of_seeds(study, trial), _values(study, trial).count(None)
    spread = f" ± {statistics.stdev(values):.2g}" if len(values) > 1 else ""
    description = f"trial {trial.number}: {metric} {statistics.fmean(values):.4f}{spread} over {len(values)} seeds"
    return f"{description}, {failed} failed" if failed else description


def _values(study: optuna.Study, trial: FrozenTrial) -> list[float | None]:
    """The values of the further seeds, in the order of their numbers; None for one that failed."""
    return [value for _, value in sorted(_of_seeds(study, trial).items())]


def _of_seeds(study: optuna.Study, trial: FrozenTrial) -> dict[int, float | None]:
    """The values by the number of the seed, from 1. Earlier versions kept a list."""
    kept = study.user_attrs.get(f"finalist {trial.number}", {})
    return dict(enumerate(kept, 1)) if isinstance(kept, list) else {int(number): v for number, v in kept.items()}


def _keep(study: optuna.Study, trial: FrozenTrial, number: int, value: float | None) -> None:
    study.set_user_attr(f"finalist {trial.number}", {**_of_seeds(study, trial), number: value})
