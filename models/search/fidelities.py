"""Successive fidelities: all trials train on a sample of the train rows, the best again on more, the last on all.

This is successive halving with rows as the resource (Jamieson and Talwalkar, 2016).
"""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import optuna
from optuna.trial import FrozenTrial

from contracts.errors import UserError
from models.search.finalists import train_each
from models.search.plan import FACTOR, Plan
from models.search.trial import TrialFiles, TrialResult, TrialTask
from models.search.workers.events import Done
from models.search.workers.pool import Pool
from models.training.data import Data

if TYPE_CHECKING:
    from models.search.workers.cluster import Cluster

OnTrained = Callable[[FrozenTrial, int, TrialResult], None]  # takes a trial, its rows and its result


def train_on_more_rows(
    study: optuna.Study, ranked: list[FrozenTrial], plan: Plan, data: Data, trainer: "Pool | Cluster",
    files: TrialFiles, on_trained: OnTrained,
) -> list[FrozenTrial]:  # fmt: skip
    """Train the best quarter of the trials, at least `keep`, on four times as many rows, and so on up to all rows.

    The study keeps the value of each training, so a search that continues trains only what is missing. A network
    replaces the one that was trained on fewer rows.

    Args:
        ranked: the trials, the best first.
        on_trained: called before the study knows the result.

    Returns:
        The trials that were trained on all rows, the best first, with their values there.

    Raises:
        UserError: when all trainings of a round fail, with the reasons.
    """
    for n_rows in plan.fidelities[1:]:
        best = ranked[: max(plan.search.keep, -(-len(ranked) // FACTOR))]
        rows = data if n_rows == plan.n_rows else data.sample(n_rows)
        ranked = _train_round(study, best, n_rows, plan, rows, trainer, files, on_trained)
    return ranked


def _train_round(
    study: optuna.Study, best: list[FrozenTrial], n_rows: int, plan: Plan, data: Data, trainer: "Pool | Cluster",
    files: TrialFiles, on_trained: OnTrained,
) -> list[FrozenTrial]:  # fmt: skip
    def task_of(trial: FrozenTrial) -> tuple[TrialTask, Path]:
        known, checkpoint = trial.user_attrs, files.checkpoint(trial.number, n_rows)
        task = plan.trial_task(data, known["hyperparameters"], known["seed"], checkpoint=checkpoint)
        return task, files.network(trial.number)

    reasons = []
    missing = [trial for trial in best if _key(trial, n_rows) not in study.user_attrs]
    for end in train_each(missing, task_of, trainer, plan.limit(n_rows)):
        if isinstance(end, Done):
            on_trained(end.job, n_rows, end.result)
            reached = {"value": end.result.value, "best_epoch": end.result.best_epoch, "threads": end.result.threads}
            study.set_user_attr(_key(end.job, n_rows), reached)
        else:
            reasons.append(f"trial {end.job.number}: {end.reason}")
    known = study.user_attrs
    trained = [_on(trial, known[_key(trial, n_rows)]) for trial in best if _key(trial, n_rows) in known]
    if not trained:
        raise UserError("\n  ".join([f"no trial was trained to its end on {n_rows:,} train rows:", *reasons]))
    sign = -1 if plan.metric.higher_is_better else 1
    return sorted(trained, key=lambda trial: (sign * trial.values[0], trial.user_attrs["n_parameters"], trial.number))


def most_rows(study: optuna.Study, plan: Plan) -> list[tuple[int, float | None]]:
    """For each trial the most train rows that it was trained on, and the value that it reached there."""
    known, most = study.user_attrs, []
    for trial in study.get_trials(deepcopy=False):
        reached = [(plan.fidelities[0], trial.values[0] if trial.values else None)]
        for n_rows in plan.fidelities[1:]:
            if _key(trial, n_rows) in known:
                reached.append((n_rows, known[_key(trial, n_rows)]["value"]))
        most.append(reached[-1])
    return most


def _on(trial: FrozenTrial, reached: dict[str, Any]) -> FrozenTrial:
    """A trial with its value on more rows."""
    other = copy.copy(trial)
    other.values = [reached["value"]]
    other.user_attrs = trial.user_attrs | {name: reached[name] for name in ("best_epoch", "threads")}
    return other


def _key(trial: FrozenTrial, n_rows: int) -> str:
    return f"trial {trial.number} on {n_rows} rows"
