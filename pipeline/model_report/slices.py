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
DIGITS = (4, 6, 9, 17)  # of an edge between two groups, the first that tell all edges apart


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
            masks |= {f"{column.name}: {text}": codes == code for code, text in enumerate(_labels(groups, column))}
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


def _labels(groups: Groups, column: Column) -> list[str]:
    """A text for each code, all different: a category called missing is not the missing values."""
    if groups.edges is None:
        own = [f"“{value}”" if value in ("missing", "others") else value for value in groups.values]
        return ["missing", *own, "others"]
    return ["missing", *(_range(groups.edges, code, column) for code in range(1, len(groups.edges) + 1))]


def _range(edges: np.ndarray, code: int, column: Column) -> str:
    texts = _texts(edges, column)
    first = texts[code - 1]
    if column.whole and (code == len(edges) or edges[code] == edges[code - 1] + 1):
        last = float(np.nanmax(column.train)) if code == len(edges) else float(edges[code - 1])
        if last == edges[code - 1]:
            return first
    return f"from {first}" if code == len(edges) else f"{first} to {texts[code]}"


def _texts(edges: np.ndarray, column: Column) -> list[str]:
    """The edges in as many digits as tell them apart."""
    for digits in DIGITS:
        texts = [number_label(float(edge), column, digits) for edge in edges]
        if len(set(texts)) == len(texts):
            break
    return texts
