"""Selection: candidates, baseline and present champion, compared on the same validation rows."""

from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from contracts.metrics import Metric
from contracts.settings.sections import Select
from pipeline.evaluation.comparison import Comparison
from pipeline.evaluation.gates.judge import Verdict


class Exclusion(Enum):
    """Reasons why no fair comparison with a champion is possible."""

    FEATURES = "its features are not those of the data"
    CLASSES = "its classes or targets are not those of the data"
    QUANTILES = "its quantiles are not those of the data"
    TRAINED_ON = "it was trained on rows that are validation rows now"
    UNKNOWN_ROWS = "its version does not say which rows it was trained on, and they were other rows"
    UNREADABLE = "its bundle cannot be read"


# A champion with one of these exclusions can answer the present requests.
SERVABLE = (Exclusion.TRAINED_ON, Exclusion.UNKNOWN_ROWS, Exclusion.QUANTILES)
MOST_NEEDED = 1_000_000  # most rows that a message asks for


@dataclass(frozen=True)
class Contender:
    """A bundle and its validation metric, NaN if it is undefined. `detail` completes the text of `exclusion`.

    `verdicts` are those of the gates on a candidate.
    """

    name: str
    bundle: Path
    value: float
    n_parameters: int
    trial: int
    exclusion: Exclusion | None = None
    detail: str = ""
    verdicts: tuple[Verdict, ...] = ()

    @property
    def failed(self) -> list[str]:
        """The gates that hold the candidate back, with their figures."""
        return [str(verdict) for verdict in self.verdicts if not verdict.passed]


@dataclass(frozen=True)
class Decision:
    """The winner, and the models that it was compared with. `best` is the candidate that the champion was compared
    with.
    """

    metric: Metric
    candidates: tuple[Contender, ...]
    champion: Contender | None
    baseline: float
    best: Contender
    comparison: Comparison | None
    winner: Contender
    reason: str

    @property
    def is_new(self) -> bool:
        """Whether the winner replaces the champion."""
        return self.winner is not self.champion

    def served(self, rule: Select) -> Contender | None:
        """The model that is served now: the winner, or the champion while a new winner waits for approval; None without
        a champion that fits the present data.
        """
        if not self.is_new or rule.approval == "automatic":
            return self.winner
        is_servable = self.champion is not None and self.champion.exclusion in (None, *SERVABLE)
        return self.champion if is_servable else None


class NothingBeatsBaseline(Exception):
    """No candidate is better than the baseline, and there is no champion to keep."""


class NothingPassesGates(Exception):
    """Every candidate fails a gate, and there is no champion to keep."""


def challenger(metric: Metric, candidates: tuple[Contender, ...], baseline: float) -> Contender:
    """The first candidate that passes its gates and beats the baseline, else the first that passes, else the first."""
    passing = [candidate for candidate in candidates if not candidate.failed] or candidates
    return next((c for c in passing if metric.better(c.value, baseline)), passing[0])


def held_back(candidates: tuple[Contender, ...]) -> list[str]:
    """A line for each candidate and each gate that it fails."""
    return [f"{candidate.name} fails {failed}" for candidate in candidates for failed in candidate.failed]


def decide(
    metric: Metric, candidates: tuple[Contender, ...], champion: Contender | None, baseline: float,
    comparison: Comparison | None, rule: Select,
) -> Decision:  # fmt: skip
    """The challenger wins if there is no champion to keep, if it is better beyond noise, or if it is as good and at
    most half as large.

    Args:
        candidates: in the order of their training's ranking, the best first.
        comparison: that of the challenger with the champion; None if no fair one is possible.

    Raises:
        NothingBeatsBaseline, NothingPassesGates: when neither a candidate nor the champion can be served.
    """
    best, name = challenger(metric, candidates, baseline), metric.name

    def decision(winner: Contender, reason: str) -> Decision:
        return Decision(metric, candidates, champion, baseline, best, comparison, winner, reason)

    beats_baseline = metric.better(best.value, baseline)
    servable = champion is not None and champion.exclusion in (None, *SERVABLE)
    if best.failed:
        if champion is not None and servable:
            return decision(champion, "the champion stays: no candidate passes its gates")
        first = "no candidate passes the gates of select.gates, and there is no champion that can stay:"
        raise NothingPassesGates("\n  ".join([first, *held_back(candidates)]))
    if not beats_baseline:
        if champion is not None and servable:
            passes = " that passes its gates" if best.verdicts else ""
            return decision(
                champion, f"the champion stays: no candidate{passes} beats the baseline's {name} {baseline:.4g}"
            )
        raise NothingBeatsBaseline(
            f"no candidate is better than the baseline ({name} {baseline:.4g}): the best, {best.name}, "
            f"has {best.value:.4g}. Give the search more trials or another space, or look at the data."
        )
    above = f"{name} {best.value:.4g}, better than the baseline's {baseline:.4g}"
    if champion is None:
        return decision(best, f"{above}; there was no champion")
    if comparison is None:
        if servable and rule.incomparable == "keep":
            return decision(champion, f"the champion stays, as select.incomparable says: {_exclusion(champion)}")
        return decision(best, f"{above}; no fair comparison with the champion is possible: {_exclusion(champion)}")
    figures = f"{name} {best.value:.4g} against the champion's {champion.value:.4g}"
    margin = rule.tolerance * abs(champion.value)
    beyond_noise = comparison.gain > rule.minimum_gain and comparison.p_value < 1 - rule.confidence
    interval = (
        f"gain {comparison.gain:.4g}, {rule.confidence:.0%} interval {comparison.low:.4g} to {comparison.high:.4g}"
    )
    evidence = f"{interval}, p {comparison.p_value:.2g}"
    if beyond_noise:
        return decision(best, f"{figures}: better beyond noise ({evidence})")
    if 2 * best.n_parameters <= champion.n_parameters and comparison.low >= -margin:
        size = f"{best.n_parameters:,} parameters for {champion.n_parameters:,}"
        return decision(best, f"{figures}: as good within select.tolerance, with {size} ({interval})")
    if comparison.gain <= 0:
        return decision(champion, f"the champion stays: {best.name} has {figures}")
    if comparison.gain <= rule.minimum_gain:
        return decision(
            champion, f"the champion stays: {best.name} has {figures}, less than select.minimum_gain better"
        )
    reason = f"the champion stays: {best.name} has {figures}, which may be chance ({evidence})"
    if comparison.rows_needed > comparison.rows:
        reason += f"; {comparison.rows:,} rows are too few to tell"
        reason += f", about {comparison.rows_needed:,} could" if comparison.rows_needed < MOST_NEEDED else ""
    return decision(champion, reason)


def report(decision: Decision) -> dict[str, Any]:
    """The content of `selection.json`."""
    return {
        "metric": decision.metric.name,
        "higher_is_better": decision.metric.higher_is_better,
        "baseline": decision.baseline,
        "candidates": [_entry(candidate) for candidate in decision.candidates],
        "champion_before": _entry(decision.champion) if decision.champion else None,
        "winner": decision.winner.name,
        "comparison": vars(decision.comparison) if decision.comparison else None,
        "reason": decision.reason,
        "held_back": held_back(decision.candidates),
        "is_new": decision.is_new,
    }


def _entry(contender: Contender) -> dict[str, Any]:
    names = ("name", "value", "n_parameters", "trial")
    values = {name: getattr(contender, name) for name in names}
    verdicts = [vars(verdict) for verdict in contender.verdicts]
    return {**values, "excluded": _exclusion(contender) or None, "gates": verdicts}


def _exclusion(contender: Contender) -> str:
    parts = (contender.exclusion.value if contender.exclusion else "", contender.detail)
    return ": ".join(part for part in parts if part)
