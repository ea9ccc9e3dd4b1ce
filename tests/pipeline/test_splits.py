"""The split of the rows."""

import numpy as np
import pytest

from contracts.errors import UserError
from pipeline.data.splits import split_rows

LABELS = np.array(["a"] * 60 + ["b"] * 30 + ["c"] * 10)


def split(target=LABELS, is_test=None, test=0.2, validation=0.2, seed=42, stratify=True):
    return split_rows(target, is_test, test, validation, seed, stratify)


def test_every_row_is_in_exactly_one_part() -> None:
    parts = split()
    assert sorted(np.concatenate(list(parts.values()))) == list(range(100))
    assert {name: len(rows) for name, rows in parts.items()} == {"train": 64, "validation": 16, "test": 20}


def test_classes_are_split_in_proportion() -> None:
    for rows in split().values():
        share = np.mean(LABELS[rows] == "a")
        assert share == pytest.approx(0.6, abs=0.05)


def test_the_split_depends_on_the_seed_alone() -> None:
    assert all((split()[name] == split()[name]).all() for name in split())
    assert (split(seed=1)["test"] != split(seed=2)["test"]).any()


def test_test_rows_of_the_source_stay_test_rows() -> None:
    is_test = np.arange(100) >= 90
    parts = split(is_test=is_test, stratify=False)
    np.testing.assert_array_equal(parts["test"], np.arange(90, 100))
    assert len(parts["validation"]) == 18


def test_the_test_part_does_not_depend_on_the_validation_fraction() -> None:
    np.testing.assert_array_equal(split(validation=0.1)["test"], split(validation=0.3)["test"])


def test_too_few_rows_are_refused_with_advice() -> None:
    with pytest.raises(UserError, match="Change the fractions or add rows"):
        split(target=np.array(["a", "a", "a", "b"]))
