"""Which bundle becomes the champion, and why."""

from dataclasses import replace
from pathlib import Path

import pytest

from contracts.metrics import BY_NAME
from contracts.settings.sections import Select
from pipeline.evaluation.comparison import Comparison
from pipeline.evaluation.selection import Contender, Decision, Exclusion, NothingBeatsBaseline, decide, report

ACCURACY, RMSE = BY_NAME["accuracy"], BY_NAME["rmse"]
RULE = Select(
    minimum_gain=0.0, confidence=0.95, tolerance=0.01, incomparable="replace", threshold=0.5, approval="automatic"
)
CERTAIN = Comparison(gain=0.1, low=0.05, high=0.15, p_value=0.001, rows=200)
CHANCE = Comparison(gain=0.002, low=-0.1, high=0.1, p_value=0.4, rows=24)
EQUAL = Comparison(gain=0.0, low=-0.001, high=0.001, p_value=1.0, rows=200)


def contender(name: str, value: float, size: int = 100, exclusion: Exclusion | None = None, detail="") -> Contender:
    return Contender(name, Path(name), value, size, 0, exclusion, detail)


def against(
    champion: Contender | None, comparison: Comparison | None, rule: Select = RULE, candidate: Contender | None = None
) -> Decision:
    return decide(ACCURACY, (candidate or contender("one", 0.91),), champion, 0.5, comparison, rule)


def test_the_best_candidate_wins_over_the_baseline() -> None:
    decision = decide(ACCURACY, (contender("one", 0.9), contender("two", 0.8)), None, 0.5, None, RULE)
    assert (decision.winner.name, decision.is_new) == ("one", True)
    assert decision.reason == "accuracy 0.9, better than the baseline's 0.5; there was no champion"
    lower = decide(RMSE, (contender("one", 0.8), contender("two", 0.9)), None, 2.0, None, RULE)
    assert lower.winner.name == "one"


def test_the_first_candidate_that_beats_the_baseline_wins() -> None:
    ranked = (contender("small", 0.89, size=100), contender("large", 0.9, size=300))
    assert decide(ACCURACY, ranked, None, 0.5, None, RULE).winner.name == "small"
    assert decide(ACCURACY, ranked, None, 0.895, None, RULE).winner.name == "large"


def test_a_gain_beyond_noise_makes_a_champion_and_a_gain_by_chance_does_not() -> None:
    champion = contender("version 3", 0.9)
    assert against(champion, CERTAIN).winner.name == "one"
    stays = against(champion, CHANCE)
    assert (stays.winner.name, stays.is_new) == ("version 3", False)
    assert stays.reason == (
        "the champion stays: one has accuracy 0.91 against the champion's 0.9, which may be chance "
        "(gain 0.002, 95% interval -0.1 to 0.1, p 0.4); 24 rows are too few to tell, about 60,000 could"
    )


def test_of_more_rows_than_anybody_has_only_the_lack_is_told() -> None:
    stays = against(contender("version 3", 0.9), replace(CHANCE, gain=1e-6))
    assert stays.reason.endswith("; 24 rows are too few to tell")
    assert replace(CHANCE, gain=0.2).rows_needed == 6
    assert EQUAL.rows_needed == 0


def test_a_gain_beyond_noise_must_also_be_the_gain_that_is_asked_for() -> None:
    champion = contender("version 3", 0.9)
    asked = RULE.model_copy(update={"minimum_gain": 0.2})
    decision = against(champion, CERTAIN, asked)
    assert decision.winner.name == "version 3"
    assert "less than select.minimum_gain better" in decision.reason


def test_a_candidate_of_half_the_size_wins_where_it_is_as_good() -> None:
    champion = contender("version 3", 0.9, size=200)
    decision = against(champion, EQUAL)
    assert decision.winner.name == "one"
    assert "as good within select.tolerance, with 100 parameters for 200" in decision.reason
    assert against(champion, CHANCE).winner.name == "version 3", "it may be worse by 0.1"
    assert against(contender("version 3", 0.9, size=199), EQUAL).winner.name == "version 3"


@pytest.mark.parametrize("exclusion", Exclusion)
def test_a_champion_without_a_fair_comparison_is_replaced_and_the_reason_says_why(exclusion: Exclusion) -> None:
    champion = contender("version 3", float("nan"), exclusion=exclusion, detail="something more")
    decision = against(champion, None)
    assert (decision.winner.name, decision.is_new) == ("one", True)
    told = f"{exclusion.value}: something more"
    assert told in decision.reason
    assert report(decision)["champion_before"]["excluded"] == told


@pytest.mark.parametrize("exclusion", Exclusion)
def test_a_champion_without_a_fair_comparison_is_kept_where_asked_if_it_can_be_served(exclusion: Exclusion) -> None:
    champion = contender("version 3", float("nan"), exclusion=exclusion)
    decision = against(champion, None, RULE.model_copy(update={"incomparable": "keep"}))
    servable = exclusion in (Exclusion.TRAINED_ON, Exclusion.UNKNOWN_ROWS, Exclusion.QUANTILES)
    assert decision.winner.name == ("version 3" if servable else "one")


def test_a_candidate_that_does_not_beat_the_baseline_does_not_win() -> None:
    worse = contender("one", 0.5)
    with pytest.raises(NothingBeatsBaseline, match="no candidate is better than the baseline"):
        against(None, None, candidate=worse)
    with pytest.raises(NothingBeatsBaseline):
        against(contender("version 1", float("nan"), exclusion=Exclusion.CLASSES), None, candidate=worse)
    assert against(contender("version 1", 0.4), CERTAIN, candidate=worse).winner.name == "version 1"


def test_a_candidate_without_a_value_does_not_win() -> None:
    with pytest.raises(NothingBeatsBaseline):
        decide(RMSE, (contender("one", float("nan")),), None, 1.0, None, RULE)


def test_the_report_names_every_contender_with_its_value() -> None:
    candidates, champion = (contender("one", 0.8), contender("two", 0.9)), contender("version 3", 0.7)
    written = report(decide(ACCURACY, candidates, champion, 0.5, CERTAIN, RULE))
    assert [row["value"] for row in written["candidates"]] == [0.8, 0.9]
    assert [row["excluded"] for row in written["candidates"]] == [None, None]
    assert written["champion_before"]["name"] == "version 3"
    assert written["comparison"] == {"gain": 0.1, "low": 0.05, "high": 0.15, "p_value": 0.001, "rows": 200}
    assert written["baseline"] == 0.5
    assert written["winner"] == "one"
