"""Which bundle becomes the champion, and why."""

from pathlib import Path

import pytest

from contracts.metrics import BY_NAME
from pipeline.evaluation.selection import Contender, Exclusion, NothingBeatsBaseline, decide, reason, report

ACCURACY, RMSE = BY_NAME["accuracy"], BY_NAME["rmse"]


def contender(name: str, value: float, size: int = 100, exclusion: Exclusion | None = None, detail="") -> Contender:
    return Contender(name, Path(name), value, size, 0, exclusion, detail)


def winner(*arguments) -> str:
    return decide(*arguments).winner.name


def test_the_best_candidate_wins_over_the_baseline() -> None:
    decision = decide(ACCURACY, (contender("one", 0.9), contender("two", 0.8)), None, 0.5, 0)
    assert (decision.winner.name, decision.is_new) == ("one", True)
    assert "baseline" in reason(decision)
    assert winner(RMSE, (contender("one", 0.8), contender("two", 0.9)), None, 2.0, 0) == "one"


def test_the_first_candidate_that_beats_the_baseline_wins() -> None:
    ranked = (contender("small", 0.89, size=100), contender("large", 0.9, size=300))
    assert winner(ACCURACY, ranked, None, 0.5, 0) == "small"
    assert winner(ACCURACY, ranked, None, 0.895, 0) == "large"


def test_the_champion_stays_unless_a_candidate_beats_it() -> None:
    champion = contender("version 3", 0.9)
    stays = decide(ACCURACY, (contender("one", 0.9),), champion, 0.5, 0)
    assert (stays.winner.name, stays.is_new) == ("version 3", False)
    assert winner(ACCURACY, (contender("one", 0.91),), champion, 0.5, 0) == "one"
    assert winner(ACCURACY, (contender("one", 0.91),), champion, 0.5, 0.05) == "version 3"


@pytest.mark.parametrize("exclusion", Exclusion)
def test_an_excluded_champion_is_replaced_and_the_reason_says_why(exclusion: Exclusion) -> None:
    champion = contender("version 3", 0.99, exclusion=exclusion, detail="something more")
    decision = decide(ACCURACY, (contender("one", 0.8),), champion, 0.5, 0)
    assert (decision.winner.name, decision.is_new) == ("one", True)
    told = f"{exclusion.value}: something more"
    assert told in reason(decision)
    assert report(decision)["champion_before"]["excluded"] == told


def test_a_candidate_that_does_not_beat_the_baseline_does_not_win() -> None:
    with pytest.raises(NothingBeatsBaseline, match="no candidate is better than the baseline"):
        decide(ACCURACY, (contender("one", 0.5),), None, 0.5, 0)
    assert winner(ACCURACY, (contender("one", 0.5),), contender("version 1", 0.4), 0.5, 0) == "version 1"


def test_a_candidate_without_a_value_does_not_win() -> None:
    with pytest.raises(NothingBeatsBaseline):
        decide(RMSE, (contender("one", float("nan")),), None, 1.0, 0)


def test_the_report_names_every_contender_with_its_value() -> None:
    candidates, champion = (contender("one", 0.8), contender("two", 0.9)), contender("version 3", 0.7)
    written = report(decide(ACCURACY, candidates, champion, 0.5, 0))
    assert [row["value"] for row in written["candidates"]] == [0.8, 0.9]
    assert [row["excluded"] for row in written["candidates"]] == [None, None]
    assert written["champion_before"]["name"] == "version 3"
    assert written["baseline"] == 0.5
    assert written["winner"] == "one"
