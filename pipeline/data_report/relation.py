"""The share of the target that one column alone explains, on train rows, cross-validated."""

from dataclasses import dataclass

import numpy as np

from contracts.encoding import encode_target
from contracts.schema import ClassTarget, LabelsTarget, Schema

FOLDS = 5
PRIOR_ROWS = 1.0  # the weight of the overall distribution in the prediction for a group
MOST_CLASSES = 50
SAME_ORDER = 0.99  # squared rank correlation from which on a column is in the order of the target


@dataclass(frozen=True)
class Outcome:
    """One target: of classes an indicator for each, shape (n_rows, n_classes); of a number its ranks from 0 to 1.

    Ranks are used so that a long tail does not decide.
    """

    name: str
    values: np.ndarray
    is_class: bool


def outcomes_of(schema: Schema, target: list) -> list[Outcome]:
    """The target of each row, or each of its labels and numbers."""
    encoded = encode_target(schema, target)
    if isinstance(schema.target, ClassTarget):
        frequent = np.argsort(-np.asarray(schema.target.frequencies), kind="stable")[:MOST_CLASSES]
        indicators = [encoded == code for code in frequent]
        if len(frequent) < len(schema.classes):
            indicators.append(~np.isin(encoded, frequent))
        return [Outcome(schema.target.name, np.stack(indicators, axis=1).astype(float), True)]
    columns = encoded.reshape(len(encoded), -1).T
    if isinstance(schema.target, LabelsTarget):
        return [
            Outcome(name, np.stack([values == 0, values == 1], axis=1).astype(float), True)
            for name, values in zip(schema.outputs, columns, strict=True)
        ]
    return [Outcome(name, _ranks(v)[:, None], False) for name, v in zip(schema.outputs, columns, strict=True)]


def in_the_same_order(values: np.ndarray, outcome: Outcome) -> float:
    """The squared rank correlation (Spearman) of a column of numbers with a number, if it is nearly 1; else 0.

    The groups of `explained` have too few rows in a small table for a copy of the target to explain all of it.
    """
    if outcome.is_class or not np.isfinite(values).all() or np.ptp(values) == 0 or np.ptp(outcome.values) == 0:
        return 0.0
    share = float(np.corrcoef(_ranks(values), outcome.values[:, 0])[0, 1] ** 2)
    return share if share > SAME_ORDER else 0.0


def explained(codes: np.ndarray, outcome: Outcome, seed: int) -> float:
    """The share of the target that the group of a row explains, from 0 to 1: of its entropy for classes, of the
    variance of its ranks for a number.

    Each fold is predicted by the rows of the others, so that a column with a different value in every row explains
    nothing.

    Args:
        codes: the group of each row, shape (n_rows,).
    """
    y, n = outcome.values, len(outcome.values)
    if n < 2 * FOLDS:
        return 0.0
    fold = np.random.default_rng(seed).permutation(n) % FOLDS
    groups = int(codes.max()) + 1
    place = fold * groups + codes
    rows = np.bincount(place, minlength=FOLDS * groups).reshape(FOLDS, groups)
    sums = np.stack(
        [np.bincount(place, weights=column, minlength=FOLDS * groups).reshape(FOLDS, groups) for column in y.T], axis=2
    )
    others, other_sums = rows.sum(axis=0) - rows, sums.sum(axis=0) - sums
    overall = (other_sums.sum(axis=1) + 1 / n) / (others.sum(axis=1)[:, None] + y.shape[1] / n)
    predicted = (other_sums + PRIOR_ROWS * overall[:, None]) / (others + PRIOR_ROWS)[:, :, None]
    loss, baseline = (_loss(outcome, p) for p in (predicted[fold, codes], overall[fold]))
    return max(0.0, 1 - loss / baseline) if baseline > 0 else 0.0


def _loss(outcome: Outcome, predicted: np.ndarray) -> float:
    if outcome.is_class:
        return float(-np.log((outcome.values * predicted).sum(axis=1)).mean())
    return float(((outcome.values - predicted) ** 2).mean())


def _ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 0 to 1; equal values share the mean of theirs."""
    codes, counts = np.unique(values, return_inverse=True, return_counts=True)[1:]
    ends = np.cumsum(counts)
    return ((ends - (counts + 1) / 2) / max(len(values) - 1, 1))[codes]
