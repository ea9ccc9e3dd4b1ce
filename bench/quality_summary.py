"""The summary of `make bench-quality`: ratios, their geometric mean, and its interval."""

from collections.abc import Collection
from typing import Any

import numpy as np

from pipeline.evaluation.boosted_trees import LIBRARIES

OURS = "ours"
SHOWN = {"realmlp": "networks", "tabm": "networks", "autogluon": "autogluon"}  # with their environments


def summary(results: dict[str, Any], libraries: Collection[str] = LIBRARIES) -> str:
    """A line for each table: mean errors over the splits that all libraries and ours have, our ratio to the best
    library, then what is only shown; then the geometric mean over the tables with a 95 % bootstrap interval.
    """
    lines = [f"table | splits | {' | '.join((*libraries, OURS))} | ratio to the best | our seconds | others: our ratio"]
    ratios = []
    for name in dict.fromkeys(key.split(",")[0] for key in results):
        needed = {*libraries, OURS}
        splits = [of for key, of in results.items() if key.split(",")[0] == name and needed <= of.keys()]
        if not splits:
            continue
        means = {who: mean_of(splits, who, "error") for who in (*libraries, OURS)}
        ratios.append(means[OURS] / min(means[library] for library in libraries))
        seconds = mean_of(splits, OURS, "train_seconds")
        errors = " | ".join(f"{value:.4g}" for value in means.values())
        others = ", ".join(shown(splits, who) for who in SHOWN if any(who in of for of in splits)) or "-"
        lines.append(f"{name} | {len(splits)} | {errors} | {ratios[-1]:.3f} | {seconds:.0f} | {others}")
    if ratios:
        low, high = interval(ratios)
        lines.append(f"geometric mean over {len(ratios)} tables: {geometric_mean(ratios):.3f} ({low:.3f}-{high:.3f})")
    return "\n".join(lines)


def shown(splits: list[dict[str, Any]], who: str) -> str:
    """A competitor's error and seconds over the splits it has, and our error on the same splits as a ratio to it."""
    common = [of for of in splits if who in of]
    error, seconds = mean_of(common, who, "error"), mean_of(common, who, "train_seconds")
    ratio = mean_of(common, OURS, "error") / error
    return f"{who} {error:.4g} ({seconds:.0f} s, splits: {len(common)}): {ratio:.3f}"


def mean_of(splits: list[dict[str, Any]], who: str, what: str) -> float:
    return float(np.mean([of[who][what] for of in splits]))


def geometric_mean(ratios: list[float]) -> float:
    return float(np.exp(np.mean(np.log(ratios))))


def interval(ratios: list[float]) -> tuple[float, float]:
    """The 95 % percentile bootstrap interval of the geometric mean, over tables (Efron and Tibshirani, 1993)."""
    logs = np.log(ratios)
    means = np.random.default_rng(0).choice(logs, (10_000, len(logs))).mean(axis=1)
    low, high = np.exp(np.quantile(means, [0.025, 0.975]))
    return float(low), float(high)
