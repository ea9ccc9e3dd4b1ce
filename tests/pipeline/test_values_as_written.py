"""Values that a careless reader changes: codes with zeros, decimal commas, markers, roles, encodings."""

import datetime
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from contracts.errors import UserError
from contracts.schema import CategoricalFeature, load_schema
from contracts.settings.source import Source
from pipeline.data.roles import role_of
from pipeline.data.target_checks import check_target
from pipeline.data_contract.breaks import find_breaks
from pipeline.data_contract.contract import Contract, DateColumn
from pipeline.data_report.columns import Column
from pipeline.data_report.findings.of_columns import outliers
from pipeline.data_report.relation import Outcome, explained, in_the_same_order
from pipeline.tables import TARGET
from tests.pipeline.streamed import assert_same, mixed, run_both, write_csv, write_parquet


@pytest.mark.parametrize(
    ("values", "read_as"),
    [
        (["0,125", "0,250", "1,375"], [0.125, 0.25, 1.375]),
        (["1,125", "2,250", "31,375"], [1125, 2250, 31375]),
        (["01001", "10001", "94107"], ["01001", "10001", "94107"]),
        (["01", "10", "12"], ["01", "10", "12"]),
        (["007", "01"], ["007", "01"]),
        (["0", "5", "7"], [0, 5, 7]),
        (["012", "15", "7"], [12, 15, 7]),
        (["0.5", "10.5"], [0.5, 10.5]),
    ],
    ids=["decimal comma", "thousands", "ZIP", "months", "all zeros", "digits", "lengths", "fractions"],
)
@pytest.mark.usefixtures("small_batches", "no_report")
def test_numbers_and_codes_are_read_alike_as_a_whole_and_streamed(folder: Path, values: list, read_as: list) -> None:
    rows = [f"{values[i % len(values)]};{i * i % 11};{i % 2}" for i in range(600)]
    Path("rows").mkdir()
    Path("rows/a.csv").write_text("\n".join(["code;x;y", *rows, ""]))
    whole, streamed = run_both()
    assert_same(whole, streamed)
    found = pq.read_table(whole.raw / "data.parquet")["code"].to_pylist()
    assert found[: len(read_as)] == read_as


@pytest.mark.usefixtures("small_batches", "no_report")
@pytest.mark.parametrize("write", [write_csv, write_parquet])
def test_markers_and_roles_of_the_settings_count_in_every_kind_of_file(folder: Path, write: Callable) -> None:
    frame = mixed()
    frame.loc[:99, "size"], frame.loc[100:199, "rooms"], frame.loc[200:299, "city"] = -999.5, -999, "unknown"
    write(frame)
    source = Source(source="rows", target="y", missing=("-999", "-999.5", "unknown"), columns={"group": "category"})
    whole, streamed = run_both(missing=source.missing, columns=source.columns)
    assert_same(whole, streamed)
    table = pq.read_table(streamed.raw / "data.parquet")
    assert [table[name].null_count for name in ("size", "rooms", "city")] == [100, 100, 100]
    assert table.schema.field("group").type == pa.string()
    group = next(f for f in load_schema(streamed.prepared / "schema.json").features if f.name == "group")
    assert isinstance(group, CategoricalFeature)


@pytest.mark.parametrize(
    ("name", "is_identifier"),
    [("customerId", True), ("customerID", True), ("PassengerId", True), ("order_id", True), ("Unnamed: 0", True),
     ("Unnamed: 0.1", True), ("__index_level_0__", True), ("amount_paid", False), ("AmountPaid", False), ("bid", False),
     ("grid", False), ("humid", False)],
)  # fmt: skip
def test_a_name_that_ends_like_id_is_one_only_where_it_is_a_word(name: str, is_identifier: bool) -> None:
    values = np.random.default_rng(0).permutation(1000)[:60]
    assert (role_of(pd.Series(values, name=name)) is not None) == is_identifier


def test_a_table_sorted_by_a_column_keeps_it_but_for_one_that_counts_up(folder: Path) -> None:
    prices = np.sort(np.random.default_rng(0).choice(100_000, 60, replace=False))
    assert role_of(pd.Series(prices, name="price")) is None
    assert role_of(pd.Series(np.arange(100, 160), name="n")) is not None
    assert role_of(pd.Series(np.linspace(-30_000, 30_000, 1000).astype(np.int16), name="height")) is None
    table = pa.table({"x": range(60), TARGET: prices})
    check_target(table, Source(source="rows", target="price"), "regression")
    with pytest.raises(UserError, match=r"if it is a number to predict, set data\.task: regression"):
        check_target(table.set_column(1, TARGET, [range(60)]), Source(source="rows", target="price"), "regression")


@pytest.mark.parametrize("task", [None, "regression"])
def test_a_target_that_32_bits_round_is_refused_with_what_to_do(task) -> None:
    seconds = pa.table({TARGET: 1_700_000_000 + np.random.default_rng(0).permutation(600)})
    source = Source(source="rows", target="at", task=task)
    with pytest.raises(UserError, match=r"where it has one every 128: predict the difference to 1,700,000,000"):
        check_target(seconds, source, "regression")
    check_target(pa.table({TARGET: np.random.default_rng(0).normal(1e9, 1e6, 600)}), source, "regression")


def test_the_encoding_is_that_of_the_first_line_that_is_not_utf_8(read) -> None:
    cities = ["Москва", "Санкт-Петербург", "Казань", "Новосибирск", "Екатеринбург", "Нижний Новгород", "Самара"]
    rows = "city,y\n" + "Rome,0\n" * 90_000 + "".join(f"{city},1\n" for city in cities) * 20
    table = read(rows.encode("cp1251"))[0]
    assert set(table["city"].to_pylist()) == {"Rome", *cities}


def test_a_contract_names_the_one_wrong_date_and_not_the_others() -> None:
    days = [f"{1 + i % 28:02}/{1 + i % 12:02}/2017" for i in range(60)]
    days[42] = "unknown"
    contract = Contract(columns={"day": DateColumn(type="date", minimum=datetime.date(2016, 1, 1))})
    (problem,) = find_breaks(pa.table({"day": days}), contract)
    assert "received 'unknown' in row 43" in str(problem)
    assert "01/01/2017" not in str(problem)


@pytest.mark.parametrize("share", [0.005, 0.02, 0.1])
def test_a_marker_is_told_however_often_it_is_there(share: float) -> None:
    r = np.random.default_rng(0)
    values = r.normal(50, 10, 2000)
    values[: int(share * 2000)] = -999
    (finding,) = outliers([Column("x", "number", "feature", "", {"train": values, "validation": values[:100]})])
    assert "rows have exactly -999" in str(finding.seen)


@pytest.mark.parametrize("n", [60, 100, 150, 200])
def test_a_copy_of_the_target_explains_it_in_a_small_table_and_noise_does_not(n: int) -> None:
    r = np.random.default_rng(0)
    target = r.normal(size=n)
    ranks = pd.Series(target).rank().to_numpy() / n
    outcome = Outcome("y", ranks[:, None], False)
    assert in_the_same_order(np.exp(target), outcome) > 0.99
    assert in_the_same_order(-target, outcome) > 0.99
    assert in_the_same_order(target + r.normal(size=n), outcome) == 0
    assert in_the_same_order(np.where(target > 0, target, np.nan), outcome) == 0
    assert 0 <= explained(np.arange(n) % 3, outcome, 0) < 0.3
