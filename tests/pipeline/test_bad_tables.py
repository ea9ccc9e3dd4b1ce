"""A person's own data that cannot be learned from: one exact message for each mistake, and nothing is written."""

import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from contracts.errors import UserError
from contracts.settings.source import Source
from pipeline.commands.data import app
from pipeline.data.target_checks import check_target
from pipeline.sources.own_table import read_source
from pipeline.tables import infer_task


def refusal(content: str | bytes | pa.Table, target: str = "y", **data) -> str:
    """The message with which data is refused, by the reader or by the checks of its target."""
    if isinstance(content, pa.Table):
        pq.write_table(content, "rows.parquet")
    else:
        Path("rows.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    source = Source(source="rows.parquet" if isinstance(content, pa.Table) else "rows.csv", target=target, **data)

    def read_and_check() -> None:
        table = read_source(source).table
        check_target(table, source, source.task or infer_task(table))

    with pytest.raises(UserError) as refused:
        read_and_check()
    return str(refused.value)


def csv(values: list, targets: list) -> str:
    return "a,y\n" + "".join(f"{value},{target}\n" for value, target in zip(values, targets, strict=True))


ADVICE = "the data has values that cannot be learned from: correct them, or list them in data.missing\n  "


@pytest.mark.parametrize(
    ("content", "data", "message"),
    [
        ("a,y\nMüller,1\n".encode() + "José,0\nzoë,1\n".encode("cp1252"), {},
         "rows.csv: expected one encoding, received UTF-8 in line 2 and another one in line 3, 4"),
        ("5.1,3.5,1.4,setosa\n4.9,3,1.4,setosa\n", {},
         "rows.csv: the header line is not usable:\n  expected names, received numbers (5.1, 3.5, 1.4, …): "
         "is the header missing?"),
        (csv(["1", "inf", "-Infinity"], [0, 1, 0]), {},
         f"{ADVICE}a: expected finite numbers, received 2 values: inf in row 2, -inf in row 3"),
        (csv(["1", "1e39", "3"], [0, 1, 0]), {},
         f"{ADVICE}a: expected numbers of at most 3.4e+38, received 1e+39 in row 2"),
        (pa.table({"a": [1.0, np.inf], "y": [1, 2]}), {}, f"{ADVICE}a: expected finite numbers, received inf in row 2"),
        (csv(["1", "x", "3", *["y"] * 12], range(15)), {"columns": {"a": "number"}},
         f"{ADVICE}a: expected numbers, received 13 values: 'x' in row 2, "
         + ", ".join(f"'y' in row {row}" for row in range(4, 13)) + ", …"),
        (pa.table({"a": ["1", "x"], "y": [1, 2]}), {"columns": {"a": "number"}},
         f"{ADVICE}a: expected numbers, received 'x' in row 2"),
        (csv(["S", "XL", "M"], [0, 1, 0]), {"columns": {"a": ("S", "M", "L")}},
         f"{ADVICE}a: expected S, M, L, received 'XL' in row 2"),
        (csv([1, 2], ["", "NA"]), {}, "target 'y': expected values, received none in all rows"),
        (csv([1, 2], [0, 0]), {}, "target 'y': expected two values or more, received only '0'"),
        (csv(range(9), "aaabbbcdd"), {}, "target 'y': expected 3 rows or more of every class, received "
         "1 of 'c', 2 of 'd': add rows, or leave these out"),
        (csv([1, 2] * 15, range(30)), {}, "target 'y': expected a column to predict, received an identifier: "
         "every row has another whole number; if it is a number to predict, set data.task: regression"),
        (csv([1, 2] * 15, [f"name {i}" for i in range(30)]), {},
         "target 'y': expected classes, or numbers, received 30 different texts in 30 rows, such as 'name 0'"),
        (csv(range(9), [*"12345678", "-1e30"]), {}, "target 'y': expected numbers of at most 1.8e+19, received -1e+30: "
         "correct it, or list it in data.missing"),
        (csv([1, 2], ["x", "z"]), {"task": "regression"}, "target 'y': expected numbers for a regression, received x"),
        (csv([1, 2], [0, 1]), {"target": "Y"},
         "data.target: expected a column of rows.csv, received 'Y'; did you mean 'y'?"),
        (csv([1, 2], [0, 1]), {"test_source": "more.csv"},
         "there is no file {folder}/more.csv; did you mean 'test.csv'?"),
        (csv([1, 2], [0, 1]), {"test_source": "test.csv"},
         "{folder}/test.csv: expected the columns of {folder}/rows.csv, different are y"),
        ("y\n1\n0\n", {}, "rows.csv: expected more columns than y, to learn from, received none"),
        ("__target__,y\n1,0\n", {},
         "expected a column of another name than __target__ or __is_test__, received __target__: rename it"),
        (pa.table({"__is_test__": [1], "y": [1]}), {},
         "expected a column of another name than __target__ or __is_test__, received __is_test__: rename it"),
        (pa.table({"a": [b"x"], "y": [1]}), {},
         'rows.parquet: expected one value in each cell, received lists, structures or bytes in a; data.columns: {"a": '
         "drop} leaves them out"),
    ],
)  # fmt: skip
def test_a_table_that_cannot_be_learned_from_is_refused(folder: Path, content, data: dict, message: str) -> None:
    (folder / "test.csv").write_text("a\n1\n")
    assert refusal(content, **{"target": "y", **data}) == message.replace("{folder}", str(folder))


def test_texts_among_numbers_are_named_and_can_be_taken_as_missing(folder: Path) -> None:
    content = csv([*range(30), "lots"], [*range(31)])
    (folder / "rows.csv").write_text(content)
    note = read_source(Source(source="rows.csv", target="y")).notes[-1]
    assert note == (
        "a: text, though nearly all values are numbers, because of 'lots' in row 31; data.missing takes them as missing"
    )
    table = read_source(Source(source="rows.csv", target="y", missing=("lots",))).table
    assert table["a"].null_count == 1
    assert pa.types.is_integer(table["a"].type)


def test_unusual_names_are_kept(folder: Path) -> None:
    names = ["Größe in cm", "a.b", "A", "a", "x[0]", "2019", "y"]
    (folder / "rows.csv").write_text(",".join(names) + "\n" + "1,2,3,4,5,6,0\n7,8,9,1,2,3,1\n")
    assert read_source(Source(source="rows.csv", target="y")).table.column_names[:6] == names[:6]


def test_parts_with_different_types_are_refused_or_read_as_text(folder: Path) -> None:
    (folder / "parts").mkdir()
    pq.write_table(pa.table({"a": [1], "y": [1]}), "parts/1.parquet")
    pq.write_table(pa.table({"a": ["x"], "y": [2]}), "parts/2.parquet")
    with pytest.raises(UserError, match="parts: expected columns of one type in all parts: Unable to merge: Field a"):
        read_source(Source(source="parts", target="y"))
    (folder / "texts").mkdir()
    (folder / "texts/1.csv").write_text("a,y\n1,1\n")
    (folder / "texts/2.csv").write_text("a,y\nx,2\n")
    assert read_source(Source(source="texts", target="y")).table["a"].to_pylist() == ["1", "x"]


def test_a_file_that_changes_while_it_is_read_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "rows.csv").write_text("a,y\n1,0\n")
    read = Path.read_bytes

    def read_and_grow(path: Path) -> bytes:
        content = read(path)
        with path.open("ab") as file:
            file.write(b"2,1\n")
        return content

    monkeypatch.setattr(Path, "read_bytes", read_and_grow)
    with pytest.raises(UserError, match=r"rows\.csv changed while it was read: run again when it is complete"):
        read_source(Source(source="rows.csv", target="y"))


def test_add_data_names_the_texts_among_the_numbers_of_a_target(folder: Path) -> None:
    (folder / "rows.csv").write_text(csv(range(60), ["abc" if i == 5 else i / 3 for i in range(60)]))
    refused = CliRunner().invoke(app, ["mine", "rows.csv", "y"]).exception
    assert str(refused) == (
        "target 'y': expected classes, or numbers, received 60 different texts in 60 rows, such as '0.0'; "
        "y: text, though nearly all values are numbers, because of 'abc' in row 6; data.missing takes them as missing"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["iris", "rows.csv", "y"], "catalog/iris.yaml exists already: choose another NAME, or edit that file"),
        (["../iris", "rows.csv", "y"], "NAME: expected 1 to 64 of a-z, 0-9 and _, received '../iris'"),
        (["My Data", "rows.csv", "y"], "NAME: expected 1 to 64 of a-z, 0-9 and _, received 'My Data'"),
        (["mine", "rows.csv", "z"], "data.target: expected a column of rows.csv, received 'z'; there are a, y"),
        (["mine", "rows.csv", "a"], "target 'a': expected a column to predict, received an identifier: every row has "
         "another whole number; if it is a number to predict, set data.task: regression"),
        (["mine", "rows.csv", "a,z"], "data.target: expected a column of rows.csv, received 'z'; there are a, y"),
        (["mine", "rows.csv", "p,q"], "data.target: expected a column of rows.csv, received 'p,q'; there are a, y"),
        (["mine", "rows.csv", "a,,y"], "TARGET: expected each column once, as a,b, received 'a,,y'"),
        (["mine", "rows.csv", "a,a"], "TARGET: expected each column once, as a,b, received 'a,a'"),
        (["mine", "rows.csv", "a,y", "--separator", "|"],
         "SEPARATOR: expected one column that holds several labels as TARGET, received 'a,y'"),
        (["mine", "rows.csv", "y", "--separator", ""],
         "SEPARATOR: expected text between labels in a column, received '' for rows.csv"),
        (["mine", "select 1", "y", "--database", "NOWHERE"], "data.database: expected the address of a database in the "
         "environment variable NOWHERE, received none: export NOWHERE=postgresql+psycopg://user:password@host/name"),
    ],
)  # fmt: skip
def test_add_data_refuses_what_is_no_dataset_and_writes_nothing(folder: Path, arguments: list, message: str) -> None:
    (folder / "rows.csv").write_text(csv(range(30), [i % 2 for i in range(30)]))
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    result = CliRunner().invoke(app, arguments)
    assert isinstance(result.exception, UserError)
    assert str(result.exception) == message
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_dates_after_the_year_2038_and_before_1970_are_read(folder: Path) -> None:
    (folder / "rows.csv").write_text("d,y\n1850-01-31,0\n2262-12-31,1\n")
    table = read_source(Source(source="rows.csv", target="y")).table
    assert table["d"].to_pylist() == [datetime.datetime(1850, 1, 31), datetime.datetime(2262, 12, 31)]
