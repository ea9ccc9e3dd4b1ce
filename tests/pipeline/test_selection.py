"""Who is served, and why."""

import pytest

from contracts.metrics import BY_NAME
from pipeline.evaluation.selection import Competitor, NothingToServe, as_report, decide

ACCURACY, RMSE = BY_NAME["accuracy"], BY_NAME["rmse"]


def candidate(name: str, value: float, size: int = 100, trial: int = 0) -> Competitor:
    return Competitor(name, value, size, trial)


def test_the_best_candidate_wins_over_the_baseline() -> None:
    decision = decide(ACCURACY, [candidate("one", 0.9), candidate("two", 0.8)], None, 0.5, 0)
    assert (decision.winner, decision.is_new) == ("one", True)
    assert "baseline" in decision.reason
    assert decide(RMSE, [candidate("one", 0.8), candidate("two", 0.9)], None, 2.0, 0).winner == "one"


def test_the_order_that_training_gave_holds_among_those_that_beat_the_baseline() -> None:
    small_enough = [candidate("small", 0.89, size=100), candidate("large", 0.9, size=300)]
    assert decide(ACCURACY, small_enough, None, 0.5, 0).winner == "small"
    assert decide(ACCURACY, small_enough, None, 0.895, 0).winner == "large"


def test_the_champion_stays_unless_it_is_beaten() -> None:
    champion = candidate("version 3", 0.9)
    stays = decide(ACCURACY, [candidate("one", 0.9)], champion, 0.5, 0)
    assert (stays.winner, stays.is_new) == ("version 3", False)
    assert decide(ACCURACY, [candidate("one", 0.91)], champion, 0.5, 0).winner == "one"
    assert decide(ACCURACY, [candidate("one", 0.91)], champion, 0.5, 0.05).winner == "version 3"


def test_a_barred_champion_gives_way_and_the_reason_says_so() -> None:
    champion = Competitor("version 3", 0.99, 1, 0, barred="its features are not those of the data")
    decision = decide(ACCURACY, [candidate("one", 0.8)], champion, 0.5, 0)
    assert decision.winner == "one"
    assert "its features are not those of the data" in decision.reason


def test_what_does_not_beat_the_baseline_is_not_served() -> None:
    with pytest.raises(NothingToServe, match="no candidate is better than the baseline"):
        decide(ACCURACY, [candidate("one", 0.5)], None, 0.5, 0)
    assert decide(ACCURACY, [candidate("one", 0.5)], candidate("version 1", 0.4), 0.5, 0).winner == "version 1"


def test_a_candidate_without_a_value_does_not_win() -> None:
    with pytest.raises(NothingToServe):
        decide(RMSE, [candidate("one", float("nan"))], None, 1.0, 0)


def test_the_report_names_everybody_with_their_numbers() -> None:
    rivals, champion = [candidate("one", 0.8), candidate("two", 0.9)], candidate("version 3", 0.7)
    report = as_report(ACCURACY, rivals, champion, 0.5, decide(ACCURACY, rivals, champion, 0.5, 0))
    assert [row["value"] for row in report["candidates"]] == [0.8, 0.9]
    assert report["champion_before"]["name"] == "version 3"
    assert report["baseline"] == 0.5
    assert report["winner"] == "one"
