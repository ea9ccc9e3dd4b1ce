"""The split of the rows, and the folds of the train rows."""

import datetime
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from contracts.errors import UserError
from contracts.schema import load_schema
from contracts.settings.sections import Preprocess
from contracts.settings.source import Source
from models.training.data import Data, Split
from pipeline.data.folds import possible_folds, write_folds
from pipeline.data.partition import divide
from pipeline.data.roles import split_hints
from pipeline.data.row_hashes import hash_rows
from pipeline.data.schema_inference import infer_schema
from pipeline.tables import IS_TEST, TARGET, write_rows

LABELS = ["a"] * 60 + ["b"] * 30 + ["c"] * 10


def table(target=LABELS, **columns) -> pa.Table:
    return pa.table({"x": range(len(target)), **columns, TARGET: pa.array(target)})


def split(
    rows: pa.Table | None = None, source="scikit-learn", test=0.2, validation=0.2, seed=42, by_class=True, **data
):
    settings = Preprocess(test_fraction=test, validation_fraction=validation, seed=seed, bins=0)
    of = Source(source=source, task="multiclass" if by_class else "regression", target=TARGET, **data)
    return divide(table() if rows is None else rows, of, settings, by_class)[0]


def own(rows: pa.Table, by: str = "hash", column: str | None = None, **more):
    """The split of rows of a person's own file."""
    return split(rows, "rows.csv", split={"by": by, "column": column}, **more)


def numbers(n: int) -> pa.Table:
    return pa.table({"x": np.random.default_rng(0).normal(size=n), TARGET: np.arange(n) * 1.0})


def names_of(rows: pa.Table, part: np.ndarray, column: str = "x") -> set:
    return set(rows.take(part)[column].to_pylist())


def test_every_row_is_in_exactly_one_part() -> None:
    parts = split()
    assert sorted(np.concatenate(list(parts.values()))) == list(range(100))
    assert {name: len(rows) for name, rows in parts.items()} == {"train": 64, "validation": 16, "test": 20}


def test_classes_are_split_in_proportion_at_random_and_in_expectation_by_hash() -> None:
    many = LABELS * 50
    for parts, labels in ((split(), LABELS), (own(table(many)), many)):
        for rows in parts.values():
            assert np.mean(np.array(labels)[rows] == "a") == pytest.approx(0.6, abs=0.05)


def test_the_split_depends_on_the_seed_alone() -> None:
    for by in ("random", "hash"):
        again = own(table(), by), own(table(), by)
        assert all((again[0][name] == again[1][name]).all() for name in again[0])
        assert list(own(table(), by, seed=1)["test"]) != list(own(table(), by, seed=2)["test"])


@pytest.mark.parametrize("by", ["random", "hash"])
def test_test_rows_of_the_source_stay_test_rows(by: str) -> None:
    is_test = np.arange(100) >= 90
    parts = own(numbers(100).append_column(IS_TEST, pa.array(is_test)), by, by_class=False)
    np.testing.assert_array_equal(parts["test"], np.arange(90, 100))
    assert 8 <= len(parts["validation"]) <= 28


@pytest.mark.parametrize("by", ["random", "hash"])
def test_the_test_part_does_not_depend_on_the_validation_fraction(by: str) -> None:
    parts = [own(table(), by, validation=fraction) for fraction in (0.1, 0.3)]
    np.testing.assert_array_equal(parts[0]["test"], parts[1]["test"])
    assert set(parts[0]["validation"]) < set(parts[1]["validation"]) or by == "random"


def test_too_few_rows_are_refused_with_advice() -> None:
    with pytest.raises(UserError, match="Change the fractions or add rows"):
        split(table(["a", "a", "a", "b"]))
    with pytest.raises(UserError, match="by hash: expected rows in every part, received none for train"):
        own(numbers(2), by_class=False)
    assert all(len(rows) for rows in own(numbers(5), by_class=False).values())


def test_appended_rows_move_none_wherever_rows_and_columns_stand() -> None:
    rows = pa.table({"x": range(700), "name": [f"n{i}" for i in range(700)], TARGET: [1.0] * 700})
    before = own(rows.slice(0, 500), by_class=False)
    shuffled = rows.take(np.random.default_rng(1).permutation(700)).select(["name", TARGET, "x"])
    after = own(shuffled.set_column(2, "x", shuffled["x"].cast(pa.float64())), by_class=False)
    first = set(range(500))
    for name, part in before.items():
        assert names_of(rows, part) == names_of(shuffled, after[name]) & first
    assert len(before["test"]) == pytest.approx(100, abs=30)


def test_hashes_of_rows_are_the_same_in_every_version() -> None:
    rows = pa.table({"a": [1, None], "b": ["x", None], "c": [datetime.datetime(2020, 1, 1), None]})
    assert hash_rows(rows, ["a", "b", "c"]).tolist() == [
        [4015310928621101354, 17471353090169154135],
        [6367941168112362041, 1473415678457918482],
    ]
    assert hash_rows(rows, ["a"], seed=1)[0, 0] != hash_rows(rows, ["a"])[0, 0]


@pytest.mark.parametrize("by", ["random", "hash"])
def test_rows_with_the_same_values_are_in_one_part(by: str) -> None:
    rows = table(LABELS * 3, again=list(range(100)) * 3).drop_columns(["x"])
    parts = own(rows, by)
    seen = [names_of(rows, part, "again") for part in parts.values()]
    assert sum(map(len, seen)) == 100
    assert [len(part) for part in parts.values()] == [3 * len(values) for values in seen]


def test_a_group_is_in_one_part_and_stays_there() -> None:
    rows = table(LABELS * 3, customer=[f"c{i % 40}" for i in range(300)])
    parts = own(rows, "group", "customer")
    seen = {name: names_of(rows, part, "customer") for name, part in parts.items()}
    assert sum(map(len, seen.values())) == 40
    fewer = own(rows.filter(pa.array([i % 40 < 30 for i in range(300)])), "group", "customer")
    assert names_of(rows, fewer["test"], "customer") <= {f"c{i}" for i in range(40)}
    three = own(table(LABELS, customer=[i % 3 for i in range(100)]), "group", "customer", seed=1)
    assert all(len(part) for part in three.values())


def test_the_last_rows_are_test_rows_where_rows_are_split_by_time() -> None:
    days = [datetime.datetime(2020, 1, 1) + datetime.timedelta(days=(i * 37) % 100 // 3) for i in range(100)]
    rows = table(day=pa.array(days, pa.timestamp("s")))
    parts = own(rows, "time", "day", by_class=False)
    moments = {name: names_of(rows, part, "day") for name, part in parts.items()}
    assert max(moments["train"]) < min(moments["validation"])
    assert max(moments["validation"]) < min(moments["test"])
    assert {name: len(rows) for name, rows in parts.items()} == {"train": 60, "validation": 18, "test": 22}


def test_a_column_says_the_part_and_validation_is_taken_from_train_where_it_says_none() -> None:
    part = ["Train"] * 60 + ["validation "] * 20 + ["TEST"] * 20
    parts = own(table(part=part), "column", "part", by_class=False)
    assert [list(rows) for rows in parts.values()] == [list(range(60)), list(range(60, 80)), list(range(80, 100))]
    parts = own(table(part=["train"] * 80 + ["test"] * 20), "column", "part", by_class=False)
    np.testing.assert_array_equal(parts["test"], np.arange(80, 100))
    assert 5 <= len(parts["validation"]) <= 30


def test_a_class_of_few_rows_has_train_rows_whatever_their_hashes() -> None:
    for seed in range(20):
        labels = np.array(LABELS + ["d"] * 3)
        assert "d" in labels[own(table(list(labels)), seed=seed)["train"]]


def test_a_class_of_few_rows_takes_none_of_the_test_rows_of_the_source() -> None:
    few, new = (table(LABELS + list(end)).append_column(IS_TEST, [np.arange(103) > 100]) for end in ("ddd", "dde"))
    assert all(own(few, seed=seed)["test"].tolist() == [101, 102] for seed in range(60))
    with pytest.raises(UserError, match="by hash: expected every class in train, received none of e"):
        own(new)


@pytest.mark.parametrize(
    ("by", "column", "values", "message"),
    [
        ("group", "custmer", ["a"], "data.split.column: expected a column of the data, received 'custmer'; did you"),
        ("group", "customer", ["a", None], "group of 'customer': expected a group in every row, received 50 missing"),
        ("group", "customer", ["a", "b"], "expected rows in every part, received none for "),
        ("time", "customer", ["a"], "by time of 'customer': expected dates or numbers, received text such as a"),
        ("time", "customer", [1, None], "expected a time in every row, received 50 missing"),
        ("time", "customer", [1.5, float("nan")], "expected a time in every row, received 50 missing"),
        ("group", "customer", [1.5, float("nan")], "expected a group in every row, received 50 missing"),
        ("time", "customer", [1], "received none for train and validation (100 rows in all): choose another split or"),
        ("time", "x", [1], "data.split by time of 'x': expected every class in train, received none of c"),
        ("column", "customer", ["train", "dev"], "by column of 'customer': expected train, validation or test in every "
         "row, received 'dev' in row 2, and no part in 50 rows in all"),
    ],
)  # fmt: skip
def test_what_rows_cannot_be_split_by_is_told(by: str, column: str, values: list, message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        own(table(customer=(values * 100)[:100]), by, column)


def test_a_date_or_a_customer_is_said_to_look_as_if_it_should_split() -> None:
    days = pa.array([datetime.datetime(2020, 1, 1) + datetime.timedelta(i) for i in range(100)], pa.timestamp("s"))
    rows = table(day=days, customer=[f"c{i % 30}" for i in range(100)], size=[i % 3 for i in range(100)])
    source = Source(source="rows.csv", target="y")
    customer, day = split_hints(rows, source)
    assert customer.startswith("customer has 30 values of 3.3 rows each")
    assert day.endswith("data.split: {by: time, column: day}")
    for other in (Source(source="rows.csv", target="y", split={"by": "time", "column": "day"}),
                  Source(source="scikit-learn", task="binary")):  # fmt: skip
        assert split_hints(rows, other) == ()


def folds_of(rows: pa.Table, folder: Path, n: int, **data) -> list[np.ndarray]:
    """For each fold the part of every row: 0 train, 1 validation, 2 neither."""
    source = Source(source="rows.csv", target="y", task="regression", **data)
    schema = infer_schema("mine", source, rows, "md5")
    schema.save(folder / "schema.json")
    write_rows(folder / "train.parquet", rows)
    saved = Data(folder, folder / "schema.json")
    saved.save("train", Split(np.zeros((len(rows), 1)), rows[TARGET].to_numpy()))
    write_folds(saved, folder / "train.parquet", source, 0, n, seed=0)
    return [np.load(folder / f"fold_{number}.npy") for number in range(n)]


def test_folds_hold_each_group_out_once(tmp_path: Path) -> None:
    rows = numbers(60).append_column("g", pa.array([i % 12 for i in range(60)]))
    folds = folds_of(rows, tmp_path, 4, split={"by": "group", "column": "g"})
    for part in folds:
        assert not names_of(rows, np.flatnonzero(part == 0), "g") & names_of(rows, np.flatnonzero(part == 1), "g")
    assert sum((part == 1).astype(int) for part in folds).tolist() == [1] * 60
    source = Source(source="rows.csv", target="y", split={"by": "group", "column": "g"})
    found = possible_folds(tmp_path / "train.parquet", load_schema(tmp_path / "schema.json"), source, 13)
    assert found == (12, "the table has 12 groups of train rows")


@pytest.mark.parametrize(("rare", "most"), [(1, 1), (4, 2), (20, 5)])
def test_there_are_no_more_folds_than_different_rows_of_a_class(tmp_path: Path, rare: int, most: int) -> None:
    rows = pa.table({"x": [i // 2 for i in range(60)], TARGET: ["rare"] * rare + ["common"] * (60 - rare)})
    source = Source(source="rows.csv", target="y", task="binary")
    schema = infer_schema("mine", source, rows, "md5")
    write_rows(tmp_path / "train.parquet", rows)
    found, why = possible_folds(tmp_path / "train.parquet", schema, source, 5)
    assert found == most
    assert found == 5 or why == f"class 'rare' has {most} different train rows"


def test_folds_keep_equal_rows_together(tmp_path: Path) -> None:
    rows = pa.table({"x": [i % 30 for i in range(90)], TARGET: np.arange(90) * 1.0})
    for part in folds_of(rows, tmp_path, 3):
        assert len({(x, p) for x, p in zip(rows["x"].to_pylist(), part, strict=True)}) == 30


def test_folds_in_time_train_on_the_rows_before(tmp_path: Path) -> None:
    rows = pa.table({"t": [(i * 7) % 20 for i in range(60)], "x": range(60), TARGET: np.arange(60) * 1.0})
    times = rows["t"].to_numpy()
    sizes = []
    for part in folds_of(rows, tmp_path, 3, split={"by": "time", "column": "t"}):
        assert times[part == 0].max() < times[part == 1].min()
        assert (part == 2).sum() == 0 or times[part == 1].max() < times[part == 2].min()
        sizes.append(int((part == 1).sum()))
    assert sizes == [15, 15, 15]
    with pytest.raises(UserError, match=r"search\.folds: expected at most 19 for mine"):
        folds_of(rows, tmp_path, 20, split={"by": "time", "column": "t"})
