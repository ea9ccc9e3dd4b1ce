"""Whether a candidate passes the gates, each with its figure. The reasons are in docs/decisions/0031-gates.md."""

import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from contracts.metrics import BY_NAME, Metric, bootstrap_intervals
from contracts.quantiles import with_levels
from contracts.settings.gates import Gates, WorstSlices
from contracts.thresholds import metric_input
from pipeline.evaluation.calibration import calibration_error
from pipeline.evaluation.gates.behaviour import largest_break, largest_change, wrong_cases
from pipeline.evaluation.gates.groups import groups_of, rows_of
from serving.predictor import Predictor

DRAWS = 1000  # draws of the bootstrap for `bounds`
CHANGED_ROWS = 1000  # most rows on which behaviour is tried
CALLS = 200  # timed calls for `seconds_per_row`
NAMED = 3  # failed groups or cases that are named


@dataclass(frozen=True)
class Verdict:
    """One gate, whether it was passed, and the figure with the expected limit."""

    gate: str
    passed: bool
    figure: str

    def __str__(self) -> str:
        return f"{self.gate}: {self.figure}"


@dataclass(frozen=True)
class Validation:
    """The validation rows as they were in the data, encoded, and their targets; for images `frame` has no image."""

    frame: pd.DataFrame
    rows: np.ndarray
    y: np.ndarray


def judge(
    gates: Gates, bundle: Path, predictor: Predictor, predictions: np.ndarray, validation: Validation,
    metric: Metric, references: dict[str, float], confidence: float, seed: int,
) -> tuple[Verdict, ...]:  # fmt: skip
    """A verdict for every gate that is set.

    Args:
        predictions: those of the validation rows.
        metric: the candidate must be better in it than the `references`, whose values are given by name.
        confidence: that of the intervals of `bounds` and `worst_slices`.
    """
    y, changed, schema = validation.y, validation.frame.iloc[:CHANGED_ROWS], predictor.schema
    quantiles = with_levels(schema, predictor.outputs(validation.rows)) if schema.levels else None

    def judged(name: str) -> np.ndarray:
        return metric_input(BY_NAME[name], predictions, predictor.manifest.threshold, quantiles)

    def reached(gate: str, name: str, value: float, limit: float, what: str, where: str = "") -> Verdict:
        expected = f"{'at least' if BY_NAME[name].higher_is_better else 'at most'} {limit:g}"
        passed = value == value and not BY_NAME[name].better(limit, value)
        return Verdict(gate, passed, f"{what} {value:.4g}{where}, expected {expected}")

    def at_most(gate: str, value: float, limit: float, what: str) -> Verdict:
        return Verdict(gate, value <= limit, f"{what} {value:.4g}, expected at most {limit:g}")

    def verdicts() -> Iterator[Verdict]:
        for name, limit in gates.values.items():
            yield reached(f"values.{name}", name, BY_NAME[name].compute(y, judged(name)), limit, name)
        bounded = {BY_NAME[name]: judged(name) for name in gates.bounds}
        intervals = bootstrap_intervals(bounded, y, DRAWS, confidence, seed) if bounded else {}
        for name, limit in gates.bounds.items():
            low, high = intervals[name]
            end = low if BY_NAME[name].higher_is_better else high
            what = f"the worse end of the {confidence:.0%} interval of {name}"
            yield reached(f"bounds.{name}", name, end, limit, what)
        for name, other in references.items():
            value = metric.compute(y, judged(metric.name))
            compared = f"{metric.name} {value:.4g}, expected better than {other:.4g}"
            yield Verdict(f"references.{name}", metric.better(value, other), compared)
        if gates.calibration_error is not None:
            error = calibration_error(y, predictions)
            yield at_most("calibration_error", error, gates.calibration_error, "expected calibration error")
        for group in gates.slices:
            rows = rows_of(group, validation.frame[group.column])
            value = BY_NAME[group.metric].compute(y[rows], judged(group.metric)[rows])
            where = f" on {rows.sum()} rows"
            yield reached(f"slices.{group}", group.metric, value, group.limit, group.metric, where)
        if gates.worst_slices is not None:
            yield _worst(gates.worst_slices, predictor, judged(gates.worst_slices.metric), validation, confidence)
        for rule in gates.invariant:
            change = largest_change(predictor, changed, rule)
            yield at_most(f"invariant.{rule.column}", change, rule.most, "the largest change of an answer is")
        for order in gates.monotonic:
            wrong = largest_break(predictor, changed, order)
            move = "fall" if order.direction == "rising" else "rise"
            yield at_most(f"monotonic.{order.column}", wrong, order.most, f"the largest {move} of an answer is")
        if gates.cases:
            failed = wrong_cases(predictor, gates.cases)
            more = f"; {len(failed) - NAMED} more" if len(failed) > NAMED else ""
            yield Verdict("cases", not failed, "; ".join(failed[:NAMED]) + more or "all answered as expected")
        if gates.seconds_per_row is not None:
            yield at_most("seconds_per_row", _seconds(predictor, validation.rows[:1]), gates.seconds_per_row, "seconds")
        if gates.bytes is not None:
            size = sum(file.stat().st_size for file in bundle.iterdir())
            yield Verdict("bytes", size <= gates.bytes, f"{size:,}, expected at most {gates.bytes:,}")

    return tuple(verdicts())


def _worst(
    rule: WorstSlices, predictor: Predictor, predictions: np.ndarray, validation: Validation, confidence: float
) -> Verdict:
    """Fails where a group is worse than the limit even at the better end of its interval.

    The interval is Student's, of the mean over the group's rows, with Bonferroni's correction for all groups.
    """
    metric = BY_NAME[rule.metric]
    assert metric.row_values is not None, "gate_problems refuses others"
    values = np.asarray(metric.row_values(validation.y, predictions), dtype=np.float64)
    groups = list(groups_of(predictor.schema, validation.frame, rule.rows))
    towards_better = 1 if metric.higher_is_better else -1
    failed = []
    for name, rows in groups:
        n, mean, spread = int(rows.sum()), values[rows].mean(), values[rows].std(ddof=1)
        reach = stdtrit(n - 1, 1 - (1 - confidence) / len(groups)) * spread / np.sqrt(n)
        better_end = metric.of_mean(max(0.0, mean + towards_better * reach))
        if np.isnan(mean) or metric.better(rule.limit, better_end):
            failed.append((towards_better * mean, f"{name}: {rule.metric} {metric.of_mean(mean):.4g} on {n} rows"))
    listed = "; ".join(text for _, text in sorted(failed)[:NAMED])
    looked_at = f"of {len(groups)} groups of at least {rule.rows} rows"
    expected = f"{'at least' if metric.higher_is_better else 'at most'} {rule.limit:g}"
    figure = f"{len(failed)} {looked_at} are worse than expected, {expected}, beyond chance: {listed}"
    return Verdict("worst_slices", not failed, figure if failed else f"none {looked_at} is worse beyond chance")


def _seconds(predictor: Predictor, row: np.ndarray) -> float:
    """The median time of one row on one thread, as in the service."""
    seconds = []
    for _ in range(CALLS):
        started = time.perf_counter()
        predictor.predict(row)
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)
