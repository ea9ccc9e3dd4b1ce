"""Warnings about the target: features that give it away, rare classes, too few rows."""

from collections.abc import Mapping

import numpy as np

from contracts.schema import ClassTarget, LabelsTarget, Schema
from pipeline.data_report.findings.finding import Finding, found

CERTAIN = {True: 0.9, False: 0.98}  # share of the target that one column explains, for classes and for numbers
SUSPECT = {True: 0.6, False: 0.9}  # the share that is enough if the next column explains less than half of it
RARE_CLASS = 0.2  # fraction of the share that a class has if all are equally frequent
FEW_VALIDATION_ROWS, FEW_ROWS_OF_CLASS, ROWS_PER_INPUT = 50, 10, 10


def leakage(strength: Mapping[str, float], is_class: bool) -> list[Finding]:
    """Features that alone predict the target almost perfectly, or well and far better than every other.

    Args:
        strength: the share of the target that each feature explains.
    """
    best = sorted(strength.values(), reverse=True)
    seen = []
    for name, share in strength.items():
        next_best = best[1] if len(best) > 1 and share == best[0] else 1.0
        if share >= CERTAIN[is_class] or (share >= SUSPECT[is_class] and next_best < share / 2):
            beside = f", the next column {next_best:.0%}" if next_best < share / 2 else ""
            seen.append((name, f"explains {share:.0%} of the target alone{beside}"))
    return found(
        "leakage", sorted(seen, key=lambda pair: -strength[pair[0]]),
        "ask whether its value is known at the time of a prediction; if it is written after the fact, leave it out: "
        "data: {columns: {<column>: drop}}.",
    )  # fmt: skip


def imbalance(schema: Schema) -> list[Finding]:
    """Classes or labels that are far rarer than the others."""
    if not isinstance(schema.target, ClassTarget | LabelsTarget):
        return []
    shares = np.asarray(schema.target.frequencies)
    equal = 1 / len(shares) if isinstance(schema.target, ClassTarget) else 0.5
    if isinstance(schema.target, LabelsTarget):
        shares = np.minimum(shares, 1 - shares)
    seen = [
        (name, f"{share:.2%} of the train rows")
        for name, share in zip(schema.classes, shares, strict=True)
        if share < RARE_CLASS * equal
    ]
    return found(
        "imbalance", seen,
        "do not judge by accuracy; try train: {class_weights: balanced}; bring more rows of the rare class.",
    )  # fmt: skip


def too_few_rows(schema: Schema, rows: Mapping[str, int]) -> list[Finding]:
    """Parts that are too small for their purpose.

    Args:
        rows: of each part, train and validation first.
    """
    seen = []
    (train, n), (validation, n_validation), *_ = rows.items()
    if n_validation < FEW_VALIDATION_ROWS:
        seen.append(("", f"{n_validation} {validation} rows, too few to tell candidates apart"))
    if schema.image is None and n < ROWS_PER_INPUT * len(schema.inputs):
        seen.append(("", f"{n:,} {train} rows for {len(schema.inputs)} inputs"))
    if isinstance(schema.target, ClassTarget):
        counts = {name: round(n * share) for name, share in zip(schema.classes, schema.target.frequencies, strict=True)}
        seen += [(name, f"{count} {train} rows") for name, count in counts.items() if count < FEW_ROWS_OF_CLASS]
    return found(
        "too few rows", seen,
        "compare candidates on folds of the train rows, search: {folds: 5}; leave out columns of little use; merge "
        "rare classes; bring more rows.",
    )  # fmt: skip
