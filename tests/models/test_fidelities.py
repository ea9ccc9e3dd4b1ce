"""Trials on a sample of the train rows, the best again on more: which train on what, and what a search continues."""

from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest

from contracts.errors import UserError
from models.search.fidelities import most_rows, train_on_more_rows
from models.search.plan import Plan
from models.search.ranking import best_trials
from models.search.trial import TrialFiles, TrialResult
from models.search.workers.events import Done, Failed, Progress
from models.training.data import Data
from tests.models.instant import iris, plan_of


class Trainer:
    """In the place of a pool: on more rows the order of the trials is the other way round."""

    def __init__(self, fails: tuple[int, ...] = (), disk_full: bool = False) -> None:
        self.jobs, self.fails, self.disk_full = [], fails, disk_full
        self.trained: list[tuple[str, int]] = []
        self.limits: set[float | None] = set()

    def __len__(self) -> int:
        return len(self.jobs)

    def room(self) -> int:
        return 2

    def start(self, job, function, task, save_to, limit) -> None:
        self.jobs.append(job)
        self.trained.append((task.data.train, job.number))
        self.limits.add(limit)

    def events(self) -> Iterator:
        job = self.jobs.pop(0)
        yield Progress(job, 0, 1.0)
        if job.number in self.fails:
            yield Failed(job, "it diverged", self.disk_full)
        else:
            yield Done(job, TrialResult(-job.number / 20, 3, {}, 10, 0.0, 2, ()))

    def answer(self, progress, go_on) -> None:
        assert go_on


def plan(n_rows: int = 1000, **search) -> Plan:
    return plan_of(iris(**{"n_trials": 20, "keep": 2, "rows": 10, **search}), n_rows=n_rows)


@pytest.fixture
def study() -> optuna.Study:
    """Twenty trials, the first the best."""
    made = optuna.create_study()
    for number in range(20):
        known = {"hyperparameters": {}, "seed": number, "n_parameters": 10, "best_epoch": 1, "threads": 1}
        made.add_trial(optuna.trial.create_trial(value=number / 20, user_attrs=known))
    return made


def rounds(study: optuna.Study, trainer: Trainer, tmp_path: Path, plan: Plan) -> list[optuna.trial.FrozenTrial]:
    heard: list[tuple[str, int]] = []
    data, files = Data(tmp_path, tmp_path), TrialFiles(tmp_path)

    def hear(trial, n_rows, result) -> None:
        heard.append(("train" if n_rows == plan.n_rows else f"train_{n_rows}", trial.number))

    ranked = train_on_more_rows(study, best_trials(study), plan, data, trainer, files, hear)
    assert heard == [(rows, number) for rows, number in trainer.trained if number not in trainer.fails]
    return ranked


@pytest.mark.parametrize(
    ("rows", "n_rows", "expected"),
    [
        (None, 1000, (1000,)),
        (1000, 1000, (1000,)),
        (2000, 1000, (1000,)),
        (100, 1000, (100, 1000)),
        (63, 1000, (63, 1000)),
        (62, 1000, (62, 248, 1000)),
        (10, 1000, (10, 40, 160, 1000)),
    ],
)
def test_rows_grow_fourfold_until_all(rows: int | None, n_rows: int, expected: tuple[int, ...]) -> None:
    assert plan(n_rows, rows=rows).fidelities == expected


def test_a_quarter_of_the_trials_and_at_least_those_that_are_kept_train_on_more_rows(study, tmp_path: Path) -> None:
    trainer = Trainer()
    ranked = rounds(study, trainer, tmp_path, plan(trial_timeout=1.0))
    first = [("train_40", number) for number in range(5)]
    assert trainer.trained == [*first, ("train_160", 4), ("train_160", 3), ("train", 4), ("train", 3)]
    assert [(trial.number, trial.values) for trial in ranked] == [(4, [-0.2]), (3, [-0.15])]
    assert [(trial.user_attrs["best_epoch"], trial.user_attrs["threads"]) for trial in ranked] == [(3, 2)] * 2
    assert study.trials[4].values == [0.2], "the study keeps the value of the trial itself"
    assert trainer.limits == {4.0, 16.0, 100.0}, "more rows have more time"
    most = most_rows(study, plan())
    assert most[:6] == [(40, 0.0), (40, -0.05), (40, -0.1), (1000, -0.15), (1000, -0.2), (10, 0.25)]


def test_a_search_that_continues_trains_only_what_is_missing(study, tmp_path: Path) -> None:
    rounds(study, Trainer(), tmp_path, plan())
    again = Trainer()
    assert [trial.number for trial in rounds(study, again, tmp_path, plan())] == [4, 3]
    assert again.trained == []
    known = {"hyperparameters": {}, "seed": 20, "n_parameters": 10, "best_epoch": 1, "threads": 1}
    study.add_trial(optuna.trial.create_trial(value=-1.0, user_attrs=known))
    assert [trial.number for trial in rounds(study, again, tmp_path, plan())] == [20, 4]
    assert again.trained == [("train_40", 20), ("train_160", 20), ("train", 20)]


def test_a_trial_that_fails_on_more_rows_is_left_out_and_tried_again(study, tmp_path: Path) -> None:
    assert [trial.number for trial in rounds(study, Trainer(fails=(4,)), tmp_path, plan())] == [3, 2]
    assert [trial.number for trial in rounds(study, Trainer(), tmp_path, plan())] == [4, 3]


def test_a_round_in_which_all_fail_ends_with_the_reasons(study, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no trial was trained to its end on 40 train rows:\n  trial 0: it diverged"):
        rounds(study, Trainer(fails=tuple(range(20))), tmp_path, plan())


def test_a_full_disk_ends_the_search(study, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="it diverged"):
        rounds(study, Trainer(fails=(0,), disk_full=True), tmp_path, plan())
