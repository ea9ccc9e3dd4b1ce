"""The benchmark of the search: what it computes from the trials, and the functions whose minimum it knows."""

import re
from pathlib import Path

import pytest

from bench import search_functions
from bench.search import compared, curve
from bench.search_functions import FUNCTIONS

ROOT = Path(__file__).parents[1]
OURS = [(10.0, 0.8), (20.0, None), (30.0, 0.9), (60.0, 0.85)]


def test_a_curve_rises_where_a_trial_was_better_than_all_before() -> None:
    assert curve(OURS) == [(0.0, 0.0), (10.0, 0.8), (30.0, 0.9)]


def test_ours_is_compared_seed_by_seed_with_each_tuner() -> None:
    searches = {"ours": {"1": OURS, "2": [(50.0, 0.7)]}, "random": {"1": [(100.0, 0.9)], "2": [(80.0, 0.8)]}}
    (found,) = compared(searches, 120).values()
    assert found["seeds"] == 2
    assert found["reached_after_worst"] is None, "the second seed never had the other's value"
    assert found["better_in_seeds"] == 0
    assert found["times_as_many_trials"] == pytest.approx(2.5)
    (alone,) = compared({"ours": {"1": OURS}, "random": {"1": [(100.0, 0.9)]}}, 120).values()
    assert alone["reached_after"] == pytest.approx(0.25)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_has_its_minima_where_it_says(name: str) -> None:
    function = FUNCTIONS[name]
    for x, y in function.minima:
        assert function.compute(x, y) == pytest.approx(function.minimum, abs=1e-6)
        assert function.compute(x + 0.1, y) > function.minimum
        assert function.x[0] <= x <= function.x[1]
        assert function.y[0] <= y <= function.y[1]


def test_a_sampler_comes_near_the_minimum_through_our_loop(monkeypatch) -> None:
    branin, ends = FUNCTIONS["branin"], []
    for trials in (3, 20):
        monkeypatch.setattr(search_functions, "TRIALS", trials)
        value, x, y = search_functions._search(branin, "random", seed=1)
        assert value == branin.compute(x, y)
        ends.append(value)
    assert branin.minimum < ends[1] < ends[0]


def test_both_sides_train_with_the_same_versions() -> None:
    ours, theirs = (
        dict(re.findall(r"^([a-z-]+)==(\S+)", (ROOT / lock).read_text(), re.MULTILINE))
        for lock in ("requirements.lock", "bench/peers/keras_tuner.txt")
    )
    assert {name: theirs[name] for name in ("tensorflow", "keras")} == {
        name: ours[name] for name in ("tensorflow", "keras")
    }
    assert "--hash=sha256:" in (ROOT / "bench/peers/keras_tuner.txt").read_text()
    assert "http" not in (ROOT / "bench/peers/keras_tuner.txt").read_text()
