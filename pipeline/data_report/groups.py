"""The values of a column as a few groups, fitted on train: for charts, for the relation to the target, for drift."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import pandas as pd

from pipeline.data_report.columns import Column

SMALL_PSI = 0.1  # below it a population counts as stable (Siddiqi, Credit Risk Scorecards, 2006)
ALPHA = 0.01  # chance of one false alarm over all columns and parts


@dataclass(frozen=True)
class Groups:
    """Groups of a column: code 0 is a missing value; a number has the last code whose edge it reaches.

    `edges` or `values` has an item for each code from 1; a category beyond them has the last code.
    """

    edges: np.ndarray | None
    values: tuple[str, ...]
    others: int = 0  # categories that share the last code

    @property
    def size(self) -> int:
        n = len(self.values) if self.edges is None else len(self.edges)
        return 2 + n if self.edges is None else 1 + n

    def codes(self, values: np.ndarray) -> np.ndarray:
        """The group of each value, shape (n_rows,)."""
        if self.edges is not None:
            codes = np.clip(np.searchsorted(self.edges, values, side="right"), 1, len(self.edges))
            return np.where(np.isnan(values), 0, codes)
        found = pd.Categorical(values, categories=list(self.values)).codes.astype(np.int64)
        return np.where(pd.isna(values), 0, np.where(found < 0, len(self.values), found) + 1)

    def shares(self, values: np.ndarray) -> np.ndarray:
        """The share of the rows in each group, shape (size,)."""
        return self.counts(values) / max(len(values), 1)

    def counts(self, values: np.ndarray) -> np.ndarray:
        return np.bincount(self.codes(values), minlength=self.size)


def by_rank(column: Column, most: int) -> Groups:
    """At most `most` groups of similar size, or one for each of so few values; the most frequent categories."""
    if not column.is_number:
        names = tuple(map(str, column.counts.index[:most]))
        return Groups(None, names, len(column.counts) - len(names))
    present = np.sort(column.train[~np.isnan(column.train)])
    values = np.unique(present)
    if len(values) > most:
        values = np.unique(np.quantile(present, np.linspace(0, 1, most + 1)[:-1], method="lower"))
    return Groups(values if len(values) else np.zeros(1), ())


def by_width(column: Column, most: int) -> Groups:
    """Intervals of one width, the outermost half percent in the first and last; a group for each of few values."""
    present = column.train[~np.isnan(column.train)]
    if not len(present) or len(np.unique(present)) <= most // 2:
        return by_rank(column, most)
    low, high = np.quantile(present, (0.005, 0.995))
    if column.whole:
        step = max(1.0, math.ceil((high - low + 1) / most))
        return Groups(np.arange(low, max(high, low + step) + 0.5, step)[:most], ())
    return Groups(np.linspace(low, high if high > low else low + 1, most + 1)[:-1], ())


def psi(expected: np.ndarray, actual: np.ndarray) -> float:
    """The population stability index between the counts of two parts, each group counted half a row up."""
    p, q = (counts + 0.5 for counts in (expected, actual))
    p, q = p / p.sum(), q / q.sum()
    return float(((p - q) * np.log(p / q)).sum())


def has_drifted(expected: Sequence[int] | np.ndarray, actual: np.ndarray, comparisons: int) -> bool:
    """Whether two parts differ by more than chance, and by enough to matter.

    Of rows from one distribution, the index times n·m / (n + m) follows χ² with one degree of freedom less than groups
    (Yurdakul and Naranjo, Journal of Risk Model Validation, 2020). Its quantile is that of Wilson and Hilferty (1931).

    Args:
        comparisons: columns times parts, over which ALPHA is divided (Bonferroni).
    """
    expected = np.asarray(expected)
    used = (expected + actual) > 0
    freedom, n, m = int(used.sum()) - 1, expected.sum(), actual.sum()
    if freedom < 1 or not n or not m:
        return False
    value = psi(expected[used], actual[used])
    spread = 2 / (9 * freedom)
    z = NormalDist().inv_cdf(1 - ALPHA / comparisons)
    limit = freedom * (1 - spread + z * math.sqrt(spread)) ** 3
    return value >= SMALL_PSI and value * n * m / (n + m) > limit
