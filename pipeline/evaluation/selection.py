"""Who is served: candidates, baseline and present champion compared on the same validation rows."""

from dataclasses import asdict, dataclass

from contracts.metrics import Metric


@dataclass(frozen=True)
class Competitor:
    """A model and its value on validation; `barred` says why it may not win, whatever its value."""

    name: str
    value: float
    n_parameters: int
    trial: int
    barred: str | None = None


@dataclass(frozen=True)
class Decision:
    """The winner, by name, and why; `is_new` says whether it replaces the champion."""

    winner: str
    reason: str
    is_new: bool


class NothingToServe(Exception):
    """No candidate beats the baseline, and there is no champion to keep."""


def decide(
    metric: Metric, candidates: list[Competitor], champion: Competitor | None, baseline: float, minimum_gain: float
) -> Decision:
    """The first candidate that beats the baseline wins if it beats the champion by more than `minimum_gain`.

    Args:
        candidates: in the order that training has given them, the best first: by the value of their trial, by
            its mean over folds or seeds, or by the rule for several objectives.

    Raises:
        NothingToServe: when neither a candidate nor the champion is better than the baseline.
    """
    best = next((c for c in candidates if metric.better(c.value, baseline)), candidates[0])
    beats_baseline = metric.better(best.value, baseline)
    rival = champion if champion is not None and champion.barred is None else None
    if rival is None:
        if not beats_baseline:
            raise NothingToServe(
                f"no candidate is better than the baseline ({metric.name} {baseline:.4g}): the best, {best.name}, "
                f"has {best.value:.4g}. Give the search more trials or another space, or look at the data."
            )
        why = f"champion barred: {champion.barred}" if champion and champion.barred else "there was no champion"
        return Decision(
            best.name, f"{metric.name} {best.value:.4g}, better than the baseline's {baseline:.4g}; {why}", True
        )
    if beats_baseline and metric.better(best.value, rival.value, by=minimum_gain):
        return Decision(
            best.name,
            f"{metric.name} {best.value:.4g}, better than the champion's {rival.value:.4g} "
            f"and the baseline's {baseline:.4g}",
            True,
        )
    return Decision(
        rival.name,
        f"the champion stays with {metric.name} {rival.value:.4g}: "
        f"the best candidate, {best.name}, has {best.value:.4g}"
        + (f" and must be better by more than {minimum_gain:.4g}" if minimum_gain else ""),
        False,
    )


def as_report(
    metric: Metric, candidates: list[Competitor], champion: Competitor | None, baseline: float, decision: Decision
) -> dict:
    """What `selection.json` holds."""
    return {
        "metric": metric.name,
        "higher_is_better": metric.higher_is_better,
        "baseline": baseline,
        "candidates": [asdict(candidate) for candidate in candidates],
        "champion_before": asdict(champion) if champion else None,
        **asdict(decision),
    }
