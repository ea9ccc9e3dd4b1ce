"""What a trial trains in its process: its reports, its result, its network, and its restarts."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from models.search.trial import TrialResult, TrialTask
from models.search.workers.events import Done, Failed, Stopped
from models.search.workers.pool import Pool
from models.training.data import Data
from tests.models.test_pool import follow
from tests.models.test_search import a_task

FOLDS = 2


@pytest.fixture(scope="module")
def pool() -> Iterator[Pool]:
    with Pool() as made:
        yield made


def train(pool: Pool, function: str, task: TrialTask, save_to: Path) -> TrialResult:
    pool.start("job", function, task, save_to)
    return pool.result()


def restarted(task: TrialTask, restarts: int) -> TrialTask:
    return replace(task, train=task.train.model_copy(update={"restarts": restarts}))


@pytest.fixture(scope="module")
def folds(data: Data) -> Data:
    """The same rows, of which each fold holds out every other one."""
    for number in range(FOLDS):
        fold = data.fold(number)
        assert fold.held_out is not None
        fold.schema.write_bytes(data.schema.read_bytes())
        np.save(fold.held_out, np.arange(64) % FOLDS == number)
    return data


def test_a_trial_reports_its_epochs_and_saves_its_network(pool: Pool, data: Data, tmp_path: Path) -> None:
    pool.start("job", "train", a_task(data), tmp_path / "model.keras")
    reports, end = follow(pool)
    assert [report.epoch for report in reports] == list(range(6))
    assert isinstance(end, Done)
    assert isinstance(end.result, TrialResult)
    assert end.result.value == pytest.approx(min(end.result.history["val_log_loss"]))
    assert (tmp_path / "model.keras").exists()


def test_a_trial_that_may_not_go_on_saves_nothing(pool: Pool, data: Data, tmp_path: Path) -> None:
    pool.start("job", "train", a_task(data), tmp_path / "model.keras")
    reports, end = follow(pool, go_on=False)
    assert len(reports) == 1
    assert isinstance(end, Stopped)
    assert not (tmp_path / "model.keras").exists()


def test_a_loss_that_is_nan_fails_with_its_reason(pool: Pool, data: Data, tmp_path: Path) -> None:
    pool.start("job", "train", a_task(data, optimizer="sgd", learning_rate=1e30), tmp_path / "model.keras")
    _, end = follow(pool)
    assert isinstance(end, Failed)
    assert "try a lower learning rate" in end.reason


def test_the_best_of_the_restarts_counts_and_only_the_first_is_reported(pool: Pool, data: Data, tmp_path: Path) -> None:
    pool.start("job", "train", restarted(a_task(data), 3), tmp_path / "model.keras")
    reports, end = follow(pool)
    assert len(reports) == 6
    assert isinstance(end, Done)
    assert len(set(end.result.values_of_restarts)) == 3
    assert end.result.value == min(end.result.values_of_restarts)


def test_each_fold_is_worth_the_best_of_its_restarts(pool: Pool, folds: Data, tmp_path: Path) -> None:
    task = restarted(replace(a_task(folds), seed=1), 2)
    first = train(pool, "train", replace(task, data=folds.fold(0)), tmp_path / "model.keras")
    assert first.value == first.values_of_restarts[1] < first.values_of_restarts[0], "the second one is the better"
    both = train(pool, "train_folds", replace(task, folds=FOLDS), tmp_path / "model.keras")
    assert both.values_of_folds[0] == first.value
    assert both.value == pytest.approx(np.mean(both.values_of_folds))
