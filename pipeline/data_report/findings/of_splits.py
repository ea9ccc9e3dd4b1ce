"""Warnings about the parts: rows that are in two parts, columns that differ between parts."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from pipeline.data_report.columns import Column
from pipeline.data_report.findings.finding import Finding, found
from pipeline.data_report.groups import by_rank, has_drifted, psi

DRIFT_GROUPS = 10
STEPS = 1000  # steps of one standard deviation to which a number is rounded
COPIES = 0.02  # share of a part's rows that have a copy in train
MORE_THAN_CHANCE = 10.0  # ratio to the number of copies that unrelated columns would have


def copies(columns: Sequence[Column], target: Mapping[str, np.ndarray]) -> list[Finding]:
    """Rows of the later parts that a train row equals, numbers to a thousandth of a standard deviation, text without
    regard to case and blanks. What names a row does not count.

    Args:
        target: the target of each part, as text.
    """
    compared = [column for column in columns if not _names_rows(column)]
    hashes = {part: _hashes(compared, part, values) for part, values in target.items()}
    (train, of_train), *others = hashes.items()
    by_chance = len(of_train) * float(np.prod([_chance_of_a_pair(column) for column in compared]))
    seen = []
    for part, of_part in others:
        share = float(np.isin(of_part, of_train).mean()) if len(of_part) else 0.0
        if share >= COPIES and share > MORE_THAN_CHANCE * by_chance:
            seen.append(("", f"{share:.1%} of the {part} rows are copies of {train} rows, or nearly"))
    return found(
        "copies across splits", seen,
        "remove copies from the source, or keep the rows of one thing together (a group column): the metrics are too "
        "good otherwise.",
    )  # fmt: skip


def _names_rows(column: Column) -> bool:
    """Whether a column has another code in every row. A measurement and a free text are no such codes."""
    if column.role in ("identifier", "text"):
        return column.role == "identifier"
    return (column.whole or not column.is_number) and len(column.counts) >= 0.999 * len(column.train)


def _hashes(columns: Sequence[Column], part: str, target: np.ndarray) -> np.ndarray:
    compared: dict[str | int, np.ndarray | pd.Series] = {"target": target}
    for number, column in enumerate(columns):
        values = column.parts[part]
        if column.is_number:
            step = float(np.nanstd(column.train)) / STEPS if len(column.counts) > 1 else 1.0
            compared[number] = np.round(values / step)
        else:
            texts = pd.Series(values, dtype="str").str.casefold().str.strip()
            compared[number] = texts.str.replace(r"\s+", " ", regex=True)
    return pd.util.hash_pandas_object(pd.DataFrame(compared), index=False).to_numpy()


def _chance_of_a_pair(column: Column) -> float:
    """The chance that two rows have the same value."""
    counts = np.append(column.counts.to_numpy(), len(column.train) - column.counts.sum())
    return float(((counts / len(column.train)) ** 2).sum())


def drift(columns: Sequence[Column]) -> list[Finding]:
    """Features whose distribution in a later part is not that of train."""
    features = [column for column in columns if column.is_feature and len(column.counts)]
    seen = []
    for column in features:
        groups = by_rank(column, DRIFT_GROUPS)
        (_, of_train), *others = ((part, groups.counts(values)) for part, values in column.parts.items())
        differs = [
            f"PSI {psi(of_train, of_part):.2f} in {part}"
            for part, of_part in others
            if has_drifted(of_train, of_part, len(features) * len(others))
        ]
        if differs:
            seen.append((column.name, ", ".join(differs)))
    return found(
        "drift between splits", seen,
        "expected where rows are divided by time or group, and then the metrics hold for such rows; otherwise find out "
        "what differs, or leave the column out.",
    )  # fmt: skip
