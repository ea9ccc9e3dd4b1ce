"""The groups of rows in which a model is worst."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from contracts.metrics import Metric
from pipeline.data_report.charts import number_label
from pipeline.data_report.columns import Column
from pipeline.data_report.groups import Groups, by_rank

FEWEST, SHOWN, GROUPS, DRAWS = 20, 8, 5, 300
ALPHA = 0.05  # chance of one false alarm over all groups
NORMAL = NormalDist()


@dataclass(frozen=True)
class Slice:
    """A group of rows, its metric with the 95 % interval of the bootstrap, and whether it is worse beyond chance."""

    name: str
    rows: int
    value: float
    low: float
    high: float
    is_worse: bool


def groups_of(columns: Sequence[Column], classes: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Masks of rows by name: of each column that a model learns from, and of each class."""
    masks = dict(classes)
    for column in columns:
        if column.is_feature:
            groups = by_rank(column, GROUPS)
            codes = groups.codes(column.train)
            masks |= {f"{column.name}: {_label(groups, code, column)}": codes == code for code in range(groups.size)}
    return masks


def worst(metric: Metric, y: np.ndarray, predictions: np.ndarray, masks: Mapping[str, np.ndarray]) -> list[Slice]:
    """The groups with the worst metric, among groups with enough rows in and outside of them; no group above average.

    A group is worse beyond chance if its mean error is above that of all other rows in Welch's test, with a level that
    is divided among all groups (Bonferroni).
    """
    assert metric.row_values is not None
    values = metric.row_values(y, predictions).astype(float)
    errors = -values if metric.higher_is_better else values
    usable = {name: mask for name, mask in masks.items() if min(mask.sum(), (~mask).sum()) >= FEWEST}
    limit = NORMAL.inv_cdf(1 - ALPHA / max(len(usable), 1))
    found = []
    for name, mask in usable.items():
        inside, outside = errors[mask], errors[~mask]
        spread = math.sqrt(inside.var(ddof=1) / len(inside) + outside.var(ddof=1) / len(outside))
        is_worse = bool(spread and (inside.mean() - outside.mean()) / spread > limit)
        if inside.mean() > errors.mean():
            found.append((float(inside.mean()), name, is_worse))
    generator = np.random.default_rng(0)

    def entry(name: str, is_worse: bool) -> Slice:
        inside = values[usable[name]]
        drawn = generator.choice(inside, (DRAWS, len(inside))).mean(axis=1)
        ends = [float(metric.of_mean(mean)) for mean in (inside.mean(), *np.quantile(drawn, (0.025, 0.975)))]
        return Slice(name, len(inside), ends[0], min(ends[1:]), max(ends[1:]), is_worse)

    return [entry(name, is_worse) for _, name, is_worse in sorted(found, key=lambda one: -one[0])[:SHOWN]]


def _label(groups: Groups, code: int, column: Column) -> str:
    if code == 0:
        return "missing"
    if groups.edges is None:
        return groups.values[code - 1] if code <= len(groups.values) else "others"
    first = number_label(float(groups.edges[code - 1]), column)
    if column.whole and (code == len(groups.edges) or groups.edges[code] == groups.edges[code - 1] + 1):
        last = float(np.nanmax(column.train)) if code == len(groups.edges) else float(groups.edges[code - 1])
        if last == groups.edges[code - 1]:
            return first
    if code == len(groups.edges):
        return f"from {first}"
    return f"{first} to {number_label(float(groups.edges[code]), column)}"
