"""A search whose trials are trained in processes: its budget, its ends, and how a later one continues it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from models.search.plan import Plan
from models.search.ranking import best_trials
from models.search.run import run_study
from models.search.study import (
    ABANDONED,
    RESUMES,
    abandon_running,
    finished_trials,
    open_study,
    resumable_trials,
    seconds_searched,
)
from models.search.trial import TrialFiles
from models.search.workers.pool import Pool
from models.training.data import Data
from tests.models.instant import iris, plan_of


@pytest.fixture(scope="module")
def pool() -> Iterator[Pool]:
    with Pool(ahead=True) as made:
        yield made


def plan(epochs: int = 6, **search) -> Plan:
    train = iris().train.model_copy(update={"epochs": epochs, "patience": epochs})
    return plan_of(iris(**{"n_trials": 3, "warmup_epochs": 0, **search}), train=train)


def a_task(data: Data, **changes):
    train = iris().train.model_copy(update={"epochs": 6, "patience": 6})
    hyperparameters = {
        "depth": 1, "width": 8, "activation": "relu", "dropout": 0.0, "optimizer": "adam", "learning_rate": 0.01,
        "batch_size": 16, **changes,
    }  # fmt: skip
    return plan_of(iris(), train=train).trial_task(data, hyperparameters, seed=1)


def search(pool: Pool, data: Data, storage: str, settings: Plan, workers: int = 1):
    study = open_study(settings, storage)
    ends: list[tuple[int, str, str]] = []
    abandon_running(study, "it died")
    pool.workers = workers
    run_study(
        study, settings, data, pool, TrialFiles(data.folder / "trials"),
        on_trial=lambda trial, state, result, reason: ends.append((trial.number, state, reason)),
    )  # fmt: skip
    return study, ends


def test_a_study_reaches_its_budget_and_a_larger_one_continues_it(pool: Pool, data: Data, tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path / 'study.db'}"
    study, told = search(pool, data, storage, plan(n_trials=2), workers=2)
    assert len(finished_trials(study)) == 2
    assert len(told) == 2
    study, told = search(pool, data, storage, plan(n_trials=3), workers=2)
    assert len(finished_trials(study)) == 3
    assert [number for number, *_ in told] == [2]
    _, told = search(pool, data, storage, plan(n_trials=3))
    assert told == []


def test_the_time_ends_a_search_and_more_time_continues_it(pool: Pool, data: Data, tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path / 'study.db'}"
    endless = plan(epochs=10**6, n_trials=None, timeout=1.5)
    for _ in range(2):  # the second search has no time left and starts nothing
        study, told = search(pool, data, storage, endless, workers=2)
        assert told == []
        assert len(pool) == 0
        assert 1.5 <= seconds_searched(study) < 10
        assert [t.user_attrs.get(ABANDONED) for t in study.trials[:2]] == ["the time was over"] * 2
        assert [t.state.name for t in study.trials] == ["FAIL", "FAIL", "WAITING", "WAITING"]
        assert resumable_trials(study) == {0, 1}
    study, told = search(pool, data, storage, plan(n_trials=2, timeout=200.0))
    assert [trial.user_attrs[RESUMES] for trial in finished_trials(study)] == [0, 1]
    assert [trial.params for trial in study.trials[2:]] == [trial.params for trial in study.trials[:2]]
    assert seconds_searched(study) < 200
    assert resumable_trials(study) == set()


def test_one_worker_and_one_seed_give_the_same_study(pool: Pool, data: Data, tmp_path: Path) -> None:
    values = [
        [trial.value for trial in search(pool, data, f"sqlite:///{tmp_path / name}", plan(n_trials=2))[0].trials]
        for name in ("one.db", "two.db")
    ]
    assert values[0] == values[1]


def test_a_failed_trial_counts_and_the_study_goes_on(pool: Pool, data: Data, tmp_path: Path) -> None:
    space = {**plan().search.space, "optimizer": "sgd", "learning_rate": 1e30}
    study, told = search(pool, data, f"sqlite:///{tmp_path / 'study.db'}", plan(n_trials=2, space=space))
    assert [state for _, state, _ in told] == ["failed", "failed"]
    assert "the loss is" in told[0][2]
    assert best_trials(study) == []


def test_a_trial_left_running_by_a_dead_search_is_closed_and_tried_again(
    pool: Pool, data: Data, tmp_path: Path
) -> None:
    storage, settings = f"sqlite:///{tmp_path / 'study.db'}", plan(n_trials=2)
    study = open_study(settings, storage)
    left = study.ask()
    asked = left.suggest_int("width", 16, 256, log=True)
    study, _ = search(pool, data, storage, settings)
    states = [trial.state.name for trial in study.trials]
    assert "RUNNING" not in states
    assert len(finished_trials(study)) == 2
    assert study.trials[1].params["width"] == asked


def test_a_trial_that_takes_too_long_fails_alone_with_its_reason(pool: Pool, data: Data, tmp_path: Path) -> None:
    """The reason is in the study and told to the log; the next trial is asked for as ever."""
    settings = plan(epochs=10**6, n_trials=2, trial_timeout=0.2)
    study, told = search(pool, data, f"sqlite:///{tmp_path / 'study.db'}", settings)
    assert [(state, reason) for _, state, reason in told] == [
        ("failed", "it took longer than search.trial_timeout, 0.2 s")
    ] * 2
    assert [trial.user_attrs["reason"] for trial in study.trials] == [told[0][2]] * 2
    assert len(finished_trials(study)) == 2


def test_ties_go_to_fewer_parameters_and_then_to_the_earlier_trial(tmp_path: Path, data: Data) -> None:
    settings = plan()
    study = open_study(settings, f"sqlite:///{tmp_path / 'study.db'}")
    for value, size in ((0.5, 300), (0.5, 100), (0.5, 100), (0.7, 10)):
        trial = study.ask()
        trial.set_user_attr("n_parameters", size)
        study.tell(trial, value)
    assert [trial.number for trial in best_trials(study)[:3]] == [1, 2, 0]
