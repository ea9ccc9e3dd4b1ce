"""The best trials trained with further seeds: how much of their lead was luck."""

import statistics
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import optuna
from optuna.trial import FrozenTrial

from contracts.settings.load import Search
from models.search.study import Objective, task_for
from models.search.workers.events import Done, Failed, Progress
from models.search.workers.pool import Pool

if TYPE_CHECKING:
    from models.search.workers.cluster import Cluster

SEEDS_APART = 7_368_787  # between the seeds of a finalist, further than initialisations or trials are


def train_again(
    study: optuna.Study,
    finalists: list[FrozenTrial],
    search: Search,
    objective: Objective,
    pool: "Pool | Cluster",
    workers: Callable[[], int],
    threads: int,
    scratch: Path,
) -> None:
    """Train each with `search.finalist_seeds` further seeds; the study keeps the values, so that it is done once.

    A training that fails leaves no value: `with_seeds` says how many there are.
    """
    todo = [
        (trial, seed) for trial in finalists for seed in range(len(_known(study, trial)) + 1, search.finalist_seeds + 1)
    ]
    while todo or len(pool):
        while todo and len(pool) < workers():
            trial, number = job = todo.pop(0)
            seed = trial.user_attrs["seed"] + SEEDS_APART * number
            task = task_for(objective, trial.user_attrs["hyperparameters"], seed, threads)
            pool.start(job, objective.function, task, scratch / f"{trial.number}_{number}.keras",
                       limit=search.trial_timeout)  # fmt: skip
        for event in pool.events():
            match event:
                case Progress():
                    pool.answer(event, go_on=True)
                case Done((trial, _), result):
                    _note(study, trial, result.value)
                case Failed((trial, _), _):
                    _note(study, trial, None)


def with_seeds(study: optuna.Study, trial: FrozenTrial) -> list[float]:
    """The values that a trial reached with its own and with further seeds; one alone where there are no others."""
    return [trial.values[0], *(value for value in _known(study, trial) if value is not None)]


def rank_by_mean(study: optuna.Study, finalists: list[FrozenTrial]) -> list[FrozenTrial]:
    """Finalists in the order of their means; one that failed with some seed comes after all that did not."""
    sign = -1 if study.directions[0] == optuna.study.StudyDirection.MAXIMIZE else 1

    def rank(trial: FrozenTrial) -> tuple[bool, float]:
        return None in _known(study, trial), sign * statistics.fmean(with_seeds(study, trial))

    return sorted(finalists, key=rank)


def describe_finalists(study: optuna.Study, trial: FrozenTrial, metric: str) -> str:
    values, failed = with_seeds(study, trial), _known(study, trial).count(None)
    spread = f" ± {statistics.stdev(values):.2g}" if len(values) > 1 else ""
    said = f"trial {trial.number}: {metric} {statistics.fmean(values):.4f}{spread} over {len(values)} seeds"
    return f"{said}, {failed} failed" if failed else said


def _known(study: optuna.Study, trial: FrozenTrial) -> list[float | None]:
    return list(study.user_attrs.get(f"finalist {trial.number}", []))


def _note(study: optuna.Study, trial: FrozenTrial, value: float | None) -> None:
    study.set_user_attr(f"finalist {trial.number}", [*_known(study, trial), value])
