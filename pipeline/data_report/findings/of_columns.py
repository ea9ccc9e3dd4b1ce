"""Warnings about single columns, whatever the target is."""

import re
from collections.abc import Iterable

import numpy as np
import pandas as pd

from pipeline.data_report.columns import Column
from pipeline.data_report.findings.finding import Finding, found

MOSTLY_NUMBERS = 0.9  # share of a text column's values from which on the others look like mistakes
MOSTLY_MISSING = 0.5
ONE_VALUE = 0.995  # share of the present values from which on a column is almost constant
MANY, MANY_IF_RARE, RARE = 100, 50, 10  # categories; 50 are many if half of them have fewer than 10 rows
FAR = 2.0  # distance of an outlier from the middle 98 %, in widths of this range
MARKER_ROWS = 5  # rows with the same extreme number from which on it looks like a marker
SENSITIVE = {
    "gender", "sex", "race", "racial", "ethnic", "ethnicity", "religion", "religious", "nationality", "citizenship",
    "immigrant", "disability", "disabled", "pregnant", "pregnancy", "marital", "marriage", "sexual", "political",
    "caste", "veteran", "zip", "zipcode", "postcode", "postal", "birth", "birthday", "birthdate", "native", "senior",
}  # fmt: skip
SENSITIVE_ALONE = {"age", "dob", "ssn"}  # names that are too short to be searched inside other names
WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")


def mixed_types(columns: Iterable[Column]) -> list[Finding]:
    """Columns of numbers that a few texts have made text, whether a network learns from them or not."""
    seen = []
    for column in columns:
        if column.is_number or not len(column.counts):
            continue
        texts = pd.Series(column.counts.index).astype(str)
        is_text = pd.to_numeric(texts.str.replace(",", ".", regex=False), errors="coerce").isna().to_numpy()
        share = 1 - column.counts[is_text].sum() / column.counts.sum()
        if not is_text.any() or share < MOSTLY_NUMBERS:
            continue
        first = ", ".join(repr(value)[:30] for value in texts[is_text][:10])
        seen.append((column.name, f"{share:.1%} of the values are numbers, but not {first}"))
    return found(
        "mixed types", seen,
        "correct the values in the source, or say that they mean a missing value, in catalog/<name>.yaml: "
        "data: {missing: ['', NA, unknown]}. Until then the column is text.",
    )  # fmt: skip


def outliers(columns: Iterable[Column]) -> list[Finding]:
    """Numbers far from all others, in any part, the furthest first; the limits come from train."""
    seen: list[tuple[float, str, str]] = []
    for column in columns:
        if column.kind != "number" or not column.is_feature or len(column.counts) < 20:
            continue
        low, high = np.nanquantile(_without_marker(column.train), (0.01, 0.99))
        values, width = np.concatenate(list(column.parts.values())), high - low
        beyond = values[(values < low - FAR * width) | (values > high + FAR * width)]
        if not width or not len(beyond):
            continue
        distances = np.abs(beyond - (low + high) / 2)
        furthest = beyond[distances.argmax()]
        repeated = int((beyond == furthest).sum())
        rows = f"{len(beyond):,} row{'s' if len(beyond) > 1 else ''} as far as {_said(furthest)}"
        if repeated >= MARKER_ROWS:
            rows = f"{repeated:,} rows have exactly {_said(furthest)} (a limit, or a marker?)"
        what = f"{rows}, while 98% of train lie from {_said(low)} to {_said(high)}"
        seen.append((float(distances.max() / width), column.name, what))
    return found(
        "outliers", [(name, what) for _, name, what in sorted(seen, reverse=True)],
        "correct mistakes in the source; name a number that means a missing value: data: {missing: ['-999']}; for a "
        "true long tail search with search.space.numeric: quantile or piecewise, which bound its effect.",
    )  # fmt: skip


def _without_marker(values: np.ndarray) -> np.ndarray:
    """The values without the lowest and the highest one, if many rows have it: it may stand for a missing value."""
    kept = values
    for end in (np.nanmin(values), np.nanmax(values)):
        marked = kept == end
        if MARKER_ROWS <= marked.sum() < np.isfinite(kept).sum() / 2:
            kept = kept[~marked]
    return kept


def _said(number: float) -> str:
    return f"{number:,.0f}" if abs(number) >= 1000 else f"{number:.4g}"


def identifiers(columns: Iterable[Column], strength: dict[str, float]) -> list[Finding]:
    """Features whose whole numbers differ in every row and explain nothing.

    Args:
        strength: how much of the target each column explains.
    """
    seen = [
        (column.name, f"{len(column.counts):,} whole numbers in {len(column.train):,} rows, unrelated to the target")
        for column in columns
        if column.kind == "number" and column.is_feature and column.whole
        and len(column.train) >= 100 and len(column.counts) >= 0.99 * len(column.train) and strength[column.name] < 0.02
    ]  # fmt: skip
    return found("identifier", seen, "leave it out, if it only names the row: data: {columns: {<column>: drop}}.")


def many_categories(columns: Iterable[Column]) -> list[Finding]:
    seen = []
    for column in columns:
        n, few = len(column.counts), int((column.counts < RARE).sum())
        if column.kind == "category" and column.is_feature and (n > MANY or (n > MANY_IF_RARE and few > n / 2)):
            seen.append((column.name, f"{n:,} categories, {few:,} of them with fewer than {RARE} train rows"))
    return found(
        "many categories", seen,
        "search with search.space.categorical: embedding; merge categories in the source, or leave the column out.",
    )  # fmt: skip


def missing(columns: Iterable[Column]) -> list[Finding]:
    """Features with mostly missing values, or with missing values in other parts but none in train."""
    seen = []
    for column in columns:
        first, *others = column.missing.values()
        if not column.is_feature:
            continue
        if first > MOSTLY_MISSING:
            seen.append((column.name, f"{first:.0%} missing in train"))
        elif not first and any(others):
            shares = ", ".join(f"{share:.1%} in {part}" for part, share in column.missing.items() if share)
            seen.append((column.name, f"none missing in train, but {shares}"))
    return found(
        "missing values", seen,
        "find out whether missing means something (write a word for it, so that it is a category); otherwise leave the "
        "column out, or bring train rows that miss the value as later ones do.",
    )  # fmt: skip


def constants(columns: Iterable[Column]) -> list[Finding]:
    """Features that have the same value in almost every row."""
    seen = []
    for column in columns:
        if not column.is_feature or not len(column.counts):
            continue
        most = column.counts.iloc[0] / column.counts.sum()
        if most >= ONE_VALUE:
            value = column.counts.index[0]
            seen.append(
                (
                    column.name,
                    f"{most:.1%} of the present values are {value if column.kind != 'number' else f'{value:g}'}",
                )
            )
    return found(
        "almost constant", seen, "leave it out, unless the rare value matters: data: {columns: {<column>: drop}}."
    )


def sensitive_names(columns: Iterable[Column]) -> list[Finding]:
    """Features whose name suggests a protected attribute of a person, or a place that stands for one."""
    seen = []
    for column in columns:
        words = {word.lower() for word in WORD.findall(column.name)}
        if column.is_feature and (words & SENSITIVE or column.name.strip().lower() in SENSITIVE_ALONE):
            seen.append((column.name, ""))
    return found(
        "sensitive names", seen,
        "ask whether decisions may rest on it; if not, leave it out, and compare the errors of its groups all the "
        "same: other columns may stand for it.",
    )  # fmt: skip
