"""What a search says while it runs, and where it ends with nothing."""

import time
from pathlib import Path
from types import SimpleNamespace

import mlflow
import optuna
import pytest

from models.search.study import SECONDS
from pipeline.search.progress import SearchProgress, duration
from pipeline.search.train import nothing_trained
from pipeline.tracking import runs
from tests.models.instant import iris, plan_of

PLAN = plan_of(iris())


@pytest.fixture
def study() -> optuna.Study:
    """Two complete trials, a pruned one and a failed one, after 30 seconds of search."""
    made = optuna.create_study(direction="minimize")
    for value, state in ((0.5, None), (0.25, None), (None, "PRUNED"), (None, "FAIL")):
        trial = made.ask()
        trial.set_user_attr("n_parameters", 10)
        made.tell(trial, value, state=state and optuna.trial.TrialState[state])
    made.set_user_attr(SECONDS, 30.0)
    return made


def progress(study: optuna.Study, **search) -> SearchProgress:
    return SearchProgress(plan_of(iris(**search)), study)


def finish(
    shown: SearchProgress, study: optuna.Study, state: str, value: float | None = None, reason: str = ""
) -> None:
    result = None if value is None else SimpleNamespace(value=value, seconds=1.0)
    shown.trial(study.ask({"rate": optuna.distributions.FloatDistribution(0.1, 0.1)}), state, result, reason)


def test_a_line_per_trial_says_how_it_ended_and_whether_it_is_the_best(study, capsys) -> None:
    shown = progress(study, n_trials=8)
    finish(shown, study, "complete", 0.125)
    finish(shown, study, "complete", 0.375)
    finish(shown, study, "pruned")
    finish(shown, study, "failed", reason="the loss is nan")
    assert capsys.readouterr().out.splitlines() == [
        "  iris: continuing a study with 4 finished trials",
        "  trial 5/8: log_loss 0.1250 best so far in 1.0 s (rate 0.1)",
        "  trial 6/8: log_loss 0.3750 in 1.0 s (rate 0.1)",
        "  trial 7/8: pruned (rate 0.1)",
        "  trial 8/8: failed: the loss is nan (rate 0.1)",
    ]
    assert shown.line().startswith("iris: 8/8 trials · best log_loss 0.1250 · 2 pruned, 2 failed · 30 s")


def test_the_last_lines_say_what_came_of_it_and_where_to_compare(study, capsys) -> None:
    with progress(study, n_trials=8) as shown:
        finish(shown, study, "complete", 0.125)
        shown.began -= 60
    ended = shown.line()
    time.sleep(0.6)  # exporting is not searching
    shown.end("http://there")
    assert capsys.readouterr().out.splitlines()[-2:] == [
        "  iris: 5/8 trials · best log_loss 0.1250 · 1 pruned, 1 failed · 1 min 30 s",
        "  compare the best: http://there",
    ]
    assert ended == shown.line()


@pytest.mark.parametrize(
    ("budget", "done"), [(1, "4 trials"), (4, "4/4 trials"), (8, "4/8 trials"), (None, "4 trials")]
)
def test_more_trials_than_the_budget_are_no_fraction_of_it(study, budget: int | None, done: str) -> None:
    assert progress(study, n_trials=budget).line().startswith(f"iris: {done} ·")


@pytest.mark.parametrize("budget", [1, None])
def test_one_trial_is_not_said_in_the_plural(budget: int | None) -> None:
    shown = progress(optuna.create_study(), n_trials=budget)
    shown.counts["complete"] = 1
    assert " trial ·" in shown.line()


@pytest.mark.parametrize(
    ("server", "page"),
    [
        ("", "http://127.0.0.1:5000"),
        ("postgresql://mlflow:secret@db/mlflow", "http://127.0.0.1:5000"),
        ("http://mlflow.example.org:5000/", "http://mlflow.example.org:5000"),
        ("https://me:secret@example.org/mlflow", "https://example.org/mlflow"),
    ],
)
def test_runs_are_compared_where_mlflow_shows_them(monkeypatch, server: str, page: str) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    asked = "runs=%5B%22a%22%2C%22b%22%5D&experiments=%5B%227%22%5D"
    assert runs.comparison("7", ["a", "b"]) == f"{page}/#/compare-runs?{asked}"


def test_the_page_that_is_linked_is_one_of_mlflows() -> None:
    (script,) = Path(mlflow.__file__).parent.glob("server/js/build/static/js/main.*.js")
    assert '"/compare-runs"' in script.read_text()


def test_a_budget_of_trials_is_counted_down_by_their_pace(study) -> None:
    shown = progress(study, n_trials=8)
    assert shown.left() is None, "nothing is known before a trial has ended"
    shown.began -= 10
    finish(shown, study, "complete", 0.5)
    assert shown.left() == pytest.approx(30, abs=1)
    shown.began, shown.last = shown.began - 4, shown.last - 4
    assert shown.left() == pytest.approx(26, abs=1)
    assert "about 26 s left" in "".join(map(str, shown._live().columns[2].cells))


def test_a_budget_of_seconds_is_counted_down_by_the_clock(study) -> None:
    shown = progress(study, n_trials=None, timeout=100.0)
    assert shown.left() == pytest.approx(70, abs=1)
    assert shown.line().startswith("iris: 4 trials")
    shown.began -= 80
    assert shown.left() == 0


@pytest.mark.parametrize(("search", "used"), [({"n_trials": 4}, True), ({"timeout": 30.0}, True), ({}, False)])
def test_a_budget_that_is_used_up_is_told(study, capsys, search: dict, used: bool) -> None:
    progress(study, **search)
    assert ("has used its budget, 4 trials after 30 s of search" in capsys.readouterr().out) == used


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.4, "0 s"), (59.4, "59 s"), (59.6, "1 min 0 s"), (3599, "59 min 59 s"), (7260, "2 h 1 min")]
)
def test_seconds_are_said_as_a_person_says_them(seconds: float, said: str) -> None:
    assert duration(seconds) == said


def test_a_search_whose_time_was_too_short_for_one_trial_says_so(study) -> None:
    empty = optuna.create_study()
    empty.set_user_attr(SECONDS, 30.2)
    short = plan_of(iris(timeout=30.0))
    assert "the 30 s of search.timeout are over" in str(nothing_trained(short, empty))
    assert "make tune DATASET=iris TIMEOUT=60" in str(nothing_trained(short, empty))
    assert "timeout" not in str(nothing_trained(PLAN, empty))
