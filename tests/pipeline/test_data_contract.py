"""The contract of a dataset: what is written, which data breaks it, and what happens then."""

import datetime
import json
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
from typer.testing import CliRunner

from contracts.errors import UserError
from contracts.settings.load import load_params
from pipeline.commands import contracts as commands
from pipeline.commands.repro import _what_changed
from pipeline.data_contract import enforcement
from pipeline.data_contract.breaks import find_breaks
from pipeline.data_contract.contract import Contract, infer_contract, read_contract, write_contract
from pipeline.paths import Paths
from pipeline.stages import fetch
from tests.settings_files import change_yaml

ROOT = Path(__file__).parents[2]
HEADER = "id,age,town,since,bought\n"
ROWS = [f"{100 + i},{20 + i % 40},{'Graz' if i % 2 else 'Linz'},2021-03-{1 + i % 28:02},{'yes' if i % 3 else 'no'}\n"
        for i in range(60)]  # fmt: skip


@pytest.fixture
def shop_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the settings, a file of rows, and a dataset `shop` of it."""
    (tmp_path / "catalog").mkdir()
    for name in ("params.yaml", "spaces.yaml"):
        (tmp_path / name).write_text((ROOT / name).read_text())
    for name in ("iris", "digits", "diabetes"):
        (tmp_path / f"catalog/{name}.yaml").write_text((ROOT / f"catalog/{name}.yaml").read_text())
    (tmp_path / "catalog/shop.yaml").write_text("data:\n  source: rows.csv\n  target: bought\n")
    (tmp_path / "rows.csv").write_text(HEADER + "".join(ROWS))
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    return tmp_path


def run(*arguments: str, **options: bool):
    return CliRunner().invoke(commands.app, list(arguments), **options)


def test_a_contract_is_a_file_to_read_with_room_for_later_rows(shop_folder: Path) -> None:
    assert run("contract", "shop").exit_code == 0
    text = (shop_folder / "catalog/contracts/shop.yaml").read_text()
    assert text.partition("columns:\n")[2] == (
        "  id: {type: number}\n"
        "  age: {type: number, minimum: 0, maximum: 98}\n"
        "  town: {type: text, values: [Graz, Linz]}\n"
        "  since: {type: date, minimum: 2021-03-01}\n"
        "  bought: {type: text, values: [no, yes]}\n"
    )
    assert text.startswith("# Rules for later data of shop, made from 60 rows.")
    result = run("check-data", "shop")
    assert (result.exit_code, result.output) == (0, "rows.csv: 60 rows, no break of catalog/contracts/shop.yaml\n")


def test_every_break_is_listed_with_column_row_value_and_what_was_expected(shop_folder: Path) -> None:
    run("contract", "shop")
    broken = ROWS.copy()
    broken[1] = "101,-5,Graz,2021-03-02,yes\n"
    broken[2] = "102,abc,Wien,2020-12-31,maybe\n"
    broken[4] = "104,,,2021-03-05,\n"
    (shop_folder / "new.csv").write_text("id,age,towne,since,bought\n" + "".join(broken))
    result = run("check-data", "shop", "new.csv")
    assert result.exit_code == 1
    assert result.output.splitlines() == [
        "  age: expected no value missing, received 0.0167, in row 5",
        "  age: expected a number from 0 to 98, received '-5' in row 2, 'abc' in row 3",
        "  town: expected this column, received none; did you mean 'towne'?",
        "  since: expected a date from 2021-03-01, received '2020-12-31 00:00:00' in row 3",
        "  bought: expected no value missing, received 0.0167, in row 5",
        "  bought: expected one of no, yes, received 'maybe' in row 3",
        "  towne: expected no column of this name, received one",
        "new.csv: 7 breaks of catalog/contracts/shop.yaml in 60 rows",
    ]


def test_a_folder_of_parts_is_checked_as_one_table(shop_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run("contract", "shop")
    (shop_folder / "parts").mkdir()
    (shop_folder / "parts/a.csv").write_text(HEADER + "".join(ROWS[:30]))
    frame = pd.read_csv(shop_folder / "rows.csv")[30:]
    frame[frame.columns[::-1]].to_csv(shop_folder / "parts/b.csv", index=False)
    assert run("check-data", "shop", "parts").output == "parts: 60 rows, no break of catalog/contracts/shop.yaml\n"
    change_yaml(shop_folder / "params.yaml", lambda params: params["fetch"].update(memory=1e-6))  # GiB
    with monkeypatch.context() as patch:
        patch.delattr(enforcement, "_read")  # which reads all rows at once
        result = run("check-data", "shop", "parts")
    assert result.output == "parts: 60 rows, no break of catalog/contracts/shop.yaml\n"
    assert not list((shop_folder / "var").rglob("rows.parquet")), "nothing is left of the check"
    frame.drop(columns="age").to_csv(shop_folder / "parts/b.csv", index=False)
    with pytest.raises(UserError, match=r"b\.csv: expected the columns of .*a\.csv, different are age"):
        run("check-data", "shop", "parts", catch_exceptions=False)


def test_ten_rows_of_a_break_are_named_and_the_others_counted() -> None:
    contract = Contract.model_validate({"columns": {"a": {"type": "number", "maximum": 10.0, "missing": 0.5}}})
    (found,) = find_breaks(pa.table({"a": list(range(100))}), contract)
    rows = ", ".join(f"{value} in row {value + 1}" for value in range(11, 21))
    assert str(found) == f"a: expected a number to 10, received {rows}, … (89 in all)"
    assert find_breaks(pa.table({"a": [1, None, 10]}), contract) == []
    (found,) = find_breaks(pa.table({"a": [None, None, 10]}), contract)
    assert str(found) == "a: expected at most 0.5 of the values missing, received 0.667, in rows 1, 2"


@pytest.mark.parametrize(
    ("rule", "kept", "broken"),
    [
        ({"type": "number"}, [1.5, 2.0], ["x", "y"]),
        ({"type": "number"}, ["1,5", "2"], [datetime.datetime(2020, 1, 1)]),
        ({"type": "number", "minimum": 0.0}, [0.0, float("nan")], [float("inf"), -1e-9]),
        ({"type": "text", "values": ["1", "2"]}, [1, 2], [3, 4]),
        ({"type": "text"}, ["anything", None], []),
        ({"type": "date", "maximum": "2020-12-31"}, ["2020-12-31T23:59:00", "1999-01-01"], ["2021-01-01", "soon"]),
        ({"type": "date"}, [datetime.datetime(2020, 1, 1)], [20200101, 5]),
    ],
)
def test_a_rule_keeps_what_it_allows_and_breaks_on_all_else(rule: dict, kept: list, broken: list) -> None:
    contract = Contract.model_validate({"columns": {"a": {**rule, "missing": 1.0}}})
    assert find_breaks(pa.table({"a": pa.array(kept, from_pandas=True)}), contract) == []
    if broken:
        (found,) = find_breaks(pa.table({"a": broken}), contract)
        assert all(f"in row {row}" in str(found) for row in range(1, len(broken) + 1))


def test_present_data_keeps_the_contract_that_is_made_of_it(tmp_path: Path) -> None:
    table = pa.table({
        "all missing": pa.array([None] * 9, pa.float64()), "one": [7.25] * 9, "negative": [-float(i) for i in range(9)],
        "huge": [10.0**i for i in range(300, 309)], "name: odd": [f"x{i}" for i in range(9)],
        "when": pa.array([None, *[datetime.datetime(2020, 1, i) for i in range(1, 9)]]),
        "truth": ["true", "false", None] * 3,
    })  # fmt: skip
    path = tmp_path / "c.yaml"
    write_contract(path, "mine", infer_contract(table), 9)
    assert find_breaks(table, read_contract(path)) == []


def test_a_contract_is_never_overwritten(shop_folder: Path) -> None:
    path = shop_folder / "catalog/contracts/shop.yaml"
    path.parent.mkdir()
    path.write_text("columns: {}\n")
    result = run("contract", "shop")
    assert isinstance(result.exception, UserError)
    assert "exists already, and is not overwritten" in str(result.exception)
    assert path.read_text() == "columns: {}\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("columns: [", "valid YAML"),
        ("columns: {a: {type: nummer}}", "c.yaml: columns.a.type: expected number, date or text, received 'nummer'"),
        (
            "columns: {a: {type: number, maximun: 3}}",
            "c.yaml: columns.a.maximun: expected type, minimum, maximum, values",
        ),
        ("columns: {a: {type: number, missing: 3}}", "columns.a.missing: expected less than or equal to 1, received 3"),
        ("colums: {}", "c.yaml: columns: expected a value, received none"),
    ],
)
def test_a_mistake_in_a_contract_is_named(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "c.yaml").write_text(content)
    with pytest.raises(UserError) as refusal:
        read_contract(tmp_path / "c.yaml")
    assert message in str(refusal.value)


def test_a_dataset_of_the_project_has_a_contract_only_where_one_is_asked_for(shop_folder: Path) -> None:
    result = run("check-data", "iris")
    assert str(result.exception) == (
        "iris has no contract catalog/contracts/iris.yaml: make contract DATASET=iris writes one"
    )
    assert run("contract", "iris").exit_code == 0
    assert run("check-data", "iris").output == "scikit-learn: 150 rows, no break of catalog/contracts/iris.yaml\n"
    assert str(run("check-data", "digits").exception) == "digits has no contract: images have none"
    assert str(run("contract", "digits").exception) == "digits: expected a table for a contract, received images"


def test_data_that_breaks_its_contract_is_refused_and_the_earlier_data_stays(shop_folder: Path) -> None:
    def fetched() -> None:
        fetch.run(load_params(Path("params.yaml"), "shop"), Paths("shop"))

    fetched()
    assert _what_changed("shop") is None
    run("contract", "shop")
    assert _what_changed("shop") == "contract"
    fetched()
    assert _what_changed("shop") is None
    before = (shop_folder / "data/raw/shop/data.parquet").read_bytes()
    (shop_folder / "rows.csv").write_text(HEADER + "".join(ROWS) + "160,500,Graz,2021-03-01,yes\n")
    assert _what_changed("shop") == "source"
    with pytest.raises(UserError) as refusal:
        fetched()
    assert str(refusal.value) == (
        "1 break of catalog/contracts/shop.yaml, nothing was changed; correct the data, or that file:\n"
        "  age: expected a number from 0 to 98, received 500 in row 61"
    )
    assert (shop_folder / "data/raw/shop/data.parquet").read_bytes() == before
    contract = shop_folder / "catalog/contracts/shop.yaml"
    contract.write_text(contract.read_text().replace("maximum: 98", "maximum: 1000"))
    fetched()
    assert json.loads((shop_folder / "data/raw/shop/source.json").read_text())["contract"]
    assert (shop_folder / "data/raw/shop/data.parquet").read_bytes() != before


def test_columns_that_are_too_many_for_a_contract_are_told_and_leave_no_file(tmp_path: Path) -> None:
    rule = {"type": "number", "minimum": -123456.789, "maximum": 123456.789}
    contract = Contract.model_validate({"columns": {f"column {i}": rule for i in range(5000)}})
    with pytest.raises(UserError, match=r"c.yaml: expected at most 256 KiB, received \d+ KiB for 5,000 columns"):
        write_contract(tmp_path / "c.yaml", "wide", contract, 300)
    assert list(tmp_path.iterdir()) == []
