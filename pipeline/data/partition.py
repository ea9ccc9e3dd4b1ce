"""Divide rows into train, validation and test. The reasons are in docs/decisions/0021-splits-that-stay.md."""

from collections.abc import Sequence, Set

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from contracts.errors import UserError, nearest
from contracts.settings.sections import Preprocess
from contracts.settings.source import Source, Split
from pipeline.data.row_hashes import hash_rows
from pipeline.tables import IS_TEST, TARGET, as_numbers, is_numeric

PARTS = ("train", "validation", "test")
TRAIN, VALIDATION, TEST = range(3)


def divide(
    table: pa.Table, source: Source, settings: Preprocess, by_class: bool
) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """The row numbers of each part, in ascending order; and sentences about them for a person.

    The test part does not depend on `validation_fraction`.

    Args:
        table: all rows, with `TARGET`, and with `IS_TEST` where the source has its own test rows.
        by_class: whether the target has classes. Each needs train rows.

    Raises:
        UserError: if the rows cannot be divided by the rule.
    """
    target = table[TARGET].to_numpy() if by_class else None
    part, notes = assign(table, source, settings, target)
    check_parts([int((part == number).sum()) for number in range(len(PARTS))], source.splits_by)
    if target is not None:
        check_classes(set(target), set(target[part == TRAIN]), source.splits_by)
    if source.is_file and (repeated := _repeated(units_of(table, source), part)):
        notes.append(repetition_note(f"{repeated:,}", source.splits_by))
    return {name: np.flatnonzero(part == number) for number, name in enumerate(PARTS)}, tuple(notes)


def assign(
    table: pa.Table, source: Source, settings: Preprocess, target: np.ndarray | None
) -> tuple[np.ndarray, list[str]]:
    """The part of each row, shape (n_rows,), and sentences about the parts; a part may be left without rows.

    Args:
        table: rows with the columns by which they are divided.
        target: the class of each row, where the target has classes.
    """
    rule, notes = source.splits_by, []
    part = np.full(len(table), TRAIN)
    if IS_TEST in table.column_names:
        part[table[IS_TEST].to_numpy()] = TEST
    if rule.by == "column":
        _declare(part, table, rule)
    if rule.by == "random":
        _take_at_random(part, units_of(table, source), settings, target)
    elif rule.by == "time":
        times = times_of(table, rule.column)
        _take(part, TEST, -times, settings.test_fraction)
        _take(part, VALIDATION, -times, settings.validation_fraction)
    else:
        group = _column_of(table, rule) if rule.by == "group" else None
        if group is not None:
            _refuse_missing(group, rule)
        shares = hash_rows(table, compared(table, rule), settings.seed) / 2.0**64
        _take(part, TEST, shares[:, 0], settings.test_fraction, is_share=True)
        _take(part, VALIDATION, shares[:, 1], settings.validation_fraction, is_share=True)
        if target is not None and rule.by == "hash":
            is_own = table[IS_TEST].to_numpy() if IS_TEST in table.column_names else np.zeros(len(part), bool)
            notes += _give_small_classes_to_train(part, target, ~is_own)
    return part, notes


def units_of(table: pa.Table, source: Source) -> np.ndarray:
    """The unit of each row, from 0 in the order of the rows: a group, or rows with the same values.

    The rows of a unit stay together, in splits and in folds. The rows of a named reader are a unit each.
    """
    if not source.is_file:
        return np.arange(len(table))
    digests = hash_rows(table, compared(table, source.splits_by))[:, 0]
    first, units = np.unique(digests, return_index=True, return_inverse=True)[1:]
    return np.argsort(np.argsort(first))[units]


def times_of(table: pa.Table, name: str | None) -> np.ndarray:
    """The column by which rows are ordered in time, float64 of shape (n_rows,): a date in seconds, or a number."""
    rule = Split(by="time", column=name)
    column = _column_of(table, rule)
    if not is_numeric(column.type):
        raise UserError(f"{_said(rule)}: expected dates or numbers, received text such as {column[0]}")
    _refuse_missing(column, rule)
    return as_numbers(column)


def _take(part: np.ndarray, number: int, values: np.ndarray, fraction: float, is_share: bool = False) -> None:
    """Give the train rows with the lowest values to a part that has no rows yet: a fraction of the rows, at least one.

    Args:
        values: rows below `fraction` are taken if the values are shares from 0 to 1, so that a row does not depend on
            others.
    """
    left = np.flatnonzero(part == TRAIN)
    if not len(left) or (part == number).any():
        return
    lowest = np.sort(values[left])
    limit = max(fraction, lowest[0]) if is_share else lowest[max(1, round(fraction * len(left))) - 1]
    part[left[values[left] <= limit]] = number


def _take_at_random(part: np.ndarray, units: np.ndarray, settings: Preprocess, target: np.ndarray | None) -> None:
    """Give units to test and validation at random, with each class in the same proportion."""
    from sklearn.model_selection import train_test_split

    first = np.unique(units, return_index=True)[1]
    of_unit = part[first]
    for number, fraction in ((TEST, settings.test_fraction), (VALIDATION, settings.validation_fraction)):
        left = np.flatnonzero(of_unit == TRAIN)
        if (of_unit == number).any():
            continue
        labels = None if target is None else target[first][left]
        try:
            of_unit[train_test_split(left, test_size=fraction, random_state=settings.seed, stratify=labels)[1]] = number
        except ValueError as error:  # scikit-learn's message names the class with too few rows
            raise UserError(
                f"{len(left)} rows cannot be divided with a test_fraction of {settings.test_fraction:g} and a "
                f"validation_fraction of {settings.validation_fraction:g}: {error} Change the fractions or add rows."
            ) from None
    part[:] = np.where(part == TRAIN, of_unit[units], part)


def _declare(part: np.ndarray, table: pa.Table, rule: Split) -> None:
    """Take the part of each row from a column."""
    values = _column_of(table, rule).cast(pa.string()).to_pandas()
    declared = values.str.strip().str.lower().map({name: number for number, name in enumerate(PARTS)})
    if declared.isna().any():
        wrong = values[declared.isna()]
        raise UserError(
            f"{_said(rule)}: expected {', '.join(PARTS[:2])} or {PARTS[2]} in every row, received "
            f"{wrong.iloc[0]!r} in row {wrong.index[0] + 1}, and no part in {len(wrong):,} rows in all"
        )
    part[:] = np.where(part == TRAIN, declared, part)


def _give_small_classes_to_train(part: np.ndarray, target: np.ndarray, divided: np.ndarray) -> list[str]:
    """Give all rows of a class to train if the hashes of its few rows would leave none there.

    Args:
        divided: which rows the hashes divide, and not the source's own test rows.
    """
    absent = sorted(set(target[divided]) - set(target[part == TRAIN]))
    part[np.isin(target, absent) & divided] = TRAIN
    return [small_class_note(name) for name in absent]


def small_class_note(name: str) -> str:
    return f"the rows of {name} are so few that all of them are train rows"


def repetition_note(rows: str, rule: Split) -> str:
    what = "the group" if rule.by == "group" else "all values"
    return f"{rows} rows of validation and test have {what} of a train row"


def check_parts(rows: Sequence[int], rule: Split) -> None:
    """Refuse a split with a part without rows."""
    if empty := [name for name, count in zip(PARTS, rows, strict=True) if not count]:
        raise UserError(
            f"{_said(rule)}: expected rows in every part, received none for {' and '.join(empty)} "
            f"({sum(rows):,} rows in all): choose another split or other fractions, or add rows"
        )


def check_classes(classes: Set[str], in_train: Set[str], rule: Split) -> None:
    """Refuse a train part that lacks a class."""
    if absent := sorted(classes - in_train):
        raise UserError(f"{_said(rule)}: expected every class in train, received none of {', '.join(absent[:5])}")


def _repeated(units: np.ndarray, part: np.ndarray) -> int:
    return int(np.isin(units[part != TRAIN], units[part == TRAIN]).sum())


def compared(table: pa.Table, rule: Split) -> list[str]:
    """The columns whose values put rows into one unit."""
    if rule.by == "group":
        assert rule.column is not None
        return [rule.column]
    return [name for name in table.column_names if name not in (TARGET, IS_TEST)]


def _column_of(table: pa.Table, rule: Split) -> pa.ChunkedArray:
    if rule.column not in table.column_names:
        known = [name for name in table.column_names if name not in (TARGET, IS_TEST)]
        raise UserError(f"data.split.column: expected a column of the data, received {rule.column!r}"
                        f"{nearest(rule.column, known)}")  # fmt: skip
    return table[rule.column]


def _refuse_missing(column: pa.ChunkedArray, rule: Split) -> None:
    if missing := pc.sum(pc.is_null(column, nan_is_null=True)).as_py():
        raise UserError(f"{_said(rule)}: expected a {rule.by} in every row, received {missing:,} missing")


def _said(rule: Split) -> str:
    return f"data.split by {rule.by}" + (f" of {rule.column!r}" if rule.column else "")
