"""Selection: candidates, baseline and present champion, compared on the same validation rows."""

from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from contracts.metrics import Metric


class Exclusion(Enum):
    """Why a champion cannot win, whatever its value."""

    FEATURES = "its features are not those of the data"
    CLASSES = "its classes are not those of the data"
    SPLIT = "it was trained on another split of the same data"
    UNREADABLE = "its bundle cannot be read"


@dataclass(frozen=True)
class Contender:
    """A bundle and its validation metric, NaN where there is none. `detail` completes the text of `exclusion`."""

    name: str
    bundle: Path
    value: float
    n_parameters: int
    trial: int
    exclusion: Exclusion | None = None
    detail: str = ""


@dataclass(frozen=True)
class Decision:
    """The winner, with what it was compared with. `best` is the candidate that the champion was compared with."""

    metric: Metric
    candidates: tuple[Contender, ...]
    champion: Contender | None
    baseline: float
    minimum_gain: float
    best: Contender
    winner: Contender

    @property
    def is_new(self) -> bool:
        """Whether the winner replaces the champion."""
        return self.winner is not self.champion


class NothingBeatsBaseline(Exception):
    """No candidate is better than the baseline, and there is no champion to keep."""


def decide(
    metric: Metric, candidates: tuple[Contender, ...], champion: Contender | None, baseline: float, minimum_gain: float
) -> Decision:
    """The first candidate that beats the baseline wins if it beats the champion by more than `minimum_gain`.

    Args:
        candidates: in the order of their training's ranking, the best first.

    Raises:
        NothingBeatsBaseline: when neither a candidate nor the champion can be served.
    """
    best = next((c for c in candidates if metric.better(c.value, baseline)), candidates[0])
    beats_baseline = metric.better(best.value, baseline)
    incumbent = champion if champion is not None and champion.exclusion is None else None
    if incumbent is None:
        if not beats_baseline:
            raise NothingBeatsBaseline(
                f"no candidate is better than the baseline ({metric.name} {baseline:.4g}): the best, {best.name}, "
                f"has {best.value:.4g}. Give the search more trials or another space, or look at the data."
            )
        winner = best
    else:
        winner = best if beats_baseline and metric.better(best.value, incumbent.value, by=minimum_gain) else incumbent
    return Decision(metric, candidates, champion, baseline, minimum_gain, best, winner)


def reason(decision: Decision) -> str:
    """Why the winner won, in a sentence."""
    name, best, champion = decision.metric.name, decision.best, decision.champion
    if champion is not None and not decision.is_new:
        gain = f" and must be better by more than {decision.minimum_gain:.4g}" if decision.minimum_gain else ""
        return (
            f"the champion stays with {name} {champion.value:.4g}: the best candidate, {best.name}, "
            f"has {best.value:.4g}{gain}"
        )
    if champion is not None and champion.exclusion is None:
        return (
            f"{name} {best.value:.4g}, better than the champion's {champion.value:.4g} "
            f"and the baseline's {decision.baseline:.4g}"
        )
    before = "there was no champion" if champion is None else f"the champion is excluded: {_exclusion(champion)}"
    return f"{name} {best.value:.4g}, better than the baseline's {decision.baseline:.4g}; {before}"


def report(decision: Decision) -> dict[str, Any]:
    """The content of `selection.json`."""
    return {
        "metric": decision.metric.name,
        "higher_is_better": decision.metric.higher_is_better,
        "baseline": decision.baseline,
        "candidates": [_entry(candidate) for candidate in decision.candidates],
        "champion_before": _entry(decision.champion) if decision.champion else None,
        "winner": decision.winner.name,
        "reason": reason(decision),
        "is_new": decision.is_new,
    }


def _entry(contender: Contender) -> dict[str, Any]:
    names = ("name", "value", "n_parameters", "trial")
    return {**{name: getattr(contender, name) for name in names}, "excluded": _exclusion(contender) or None}


def _exclusion(contender: Contender) -> str:
    parts = (contender.exclusion.value if contender.exclusion else "", contender.detail)
    return ": ".join(part for part in parts if part)
