"""A person's own file: what is found in it, what is left out, and the message for every mistake."""

import bz2
import datetime
import gzip
import io
import json
import lzma
import os
import resource
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from contracts.encoding import encode
from contracts.errors import UserError
from contracts.schema import DateFeature, Schema
from contracts.settings.source import Source
from pipeline.data.schema_inference import infer_schema
from pipeline.sources.files import flat
from pipeline.sources.own_table import read_source
from pipeline.tables import TARGET, infer_task
from serving.errors import Problem
from serving.validation.validator import InputValidator
from tests.pipeline.titanic import titanic_like


@pytest.fixture
def read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The table of a file with this content, and what was found in it."""
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))

    def reads(content: bytes | str, name: str = "rows.csv", target: str = "y", **settings):
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        return read_source(Source(source=name, target=target, **settings))[:2]

    return reads


def schema_of(table: pa.Table, **settings) -> Schema:
    source = Source(source="rows.csv", target="y", task=infer_task(table), **settings)
    return infer_schema("mine", source, table, "md5")


def rows(n: int = 30, **columns) -> str:
    """CSV of n rows; each column is a function of the row's number."""
    lines = [",".join(str(value(i)) for value in columns.values()) for i in range(n)]
    return "\n".join([",".join(columns), *lines]) + "\n"


@pytest.mark.parametrize(
    ("content", "first"),
    [
        ("a;b;y\n1,5;x;0\n1.002,25;y;1\n", {"a": 1.5, "b": "x"}),
        ("a\tb\ty\n1\tx\t0\n2\ty\t1\n", {"a": 1, "b": "x"}),
        ('a,y\n"1,234",0\n"2,345,678",1\n', {"a": 1234.0}),
        ("\ufeffa,y\n 1 ,0\n2,1\n", {"a": 1}),
        ("a,y\nNA,0\n?,1\n3,0\n", {"a": None}),
        ("a,y\n007,0\n010,1\n", {"a": "007"}),
        ("d,y\n31/12/2020,0\n01/02/2021,1\n", {"d": datetime.datetime(2020, 12, 31)}),
        ("d,y\n12/31/2020,0\n01/02/2021,1\n", {"d": datetime.datetime(2020, 12, 31)}),
    ],
    ids=["decimal comma", "tab", "thousands", "BOM", "markers", "leading zero", "day first", "month first"],
)
def test_how_a_file_is_written_is_found(read, content: str, first: dict) -> None:
    table, _ = read(content)
    row = table.drop_columns([TARGET]).to_pylist()[0]
    assert row == first


def test_what_was_found_is_said_and_can_be_overruled(read) -> None:
    _, notes = read("a;y\n1,5;0\n-999;1\n")
    assert notes == ["delimiter semicolon, encoding utf-8, decimal mark ','"]
    table, notes = read("a;y\n1,5;0\n-999;1\n", missing=("-999",), columns={"a": "category"})
    assert table["a"].to_pylist() == ["1,5", None]
    assert "missing: '-999'" in notes


def test_latin_letters_of_an_old_file_are_read(read) -> None:
    table, notes = read(("name,y\n" + "Müller,0\nJosé,1\nGarçon,0\n" * 20).encode("cp1252"))
    assert table["name"].to_pylist()[:3] == ["Müller", "José", "Garçon"]
    assert "cp1252" in notes[0]


@pytest.mark.parametrize("ending", ["gz", "xz", "zip", "zst", "parquet", "jsonl"])
def test_every_kind_of_file_gives_the_same_table(read, tmp_path: Path, ending: str) -> None:
    plain = "a,b,y\n1,x,0\n2,z,1\n"
    expected = read(plain)[0]
    frame = pd.DataFrame({"a": [1, 2], "b": ["x", "z"], "y": [0, 1]})
    path, name = tmp_path / "made", f"rows.csv.{ending}"
    match ending:
        case "gz":
            path.write_bytes(gzip.compress(plain.encode()))
        case "xz":
            path.write_bytes(lzma.compress(plain.encode()))
        case "zst":
            path.write_bytes(pa.compress(plain.encode(), "zstd", asbytes=True))
        case "zip":
            with zipfile.ZipFile(path, "w") as archive:
                archive.writestr("rows.csv", plain)
        case "parquet":
            frame.to_parquet(path)
            name = "rows.parquet"
        case "jsonl":
            frame.to_json(path, orient="records", lines=True)
            name = "rows.jsonl"
    assert read(path.read_bytes(), name)[0].to_pylist() == expected.to_pylist()


def test_a_folder_of_parts_is_one_table(read, tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts/1.csv").write_text("a,y\n1,0\n")
    (tmp_path / "parts/2.csv").write_text("y,a\n1,2.5\n")
    table, _, _ = read_source(Source(source="parts", target="y"))
    assert table["a"].to_pylist() == [1.0, 2.5]
    (tmp_path / "parts/3.csv").write_text("b,y\n1,0\n")
    with pytest.raises(UserError, match=r"3\.csv: expected the columns of .*1\.csv, different are a, b"):
        read_source(Source(source="parts", target="y"))


@pytest.mark.parametrize(
    ("values", "task", "classes"),
    [
        (["0", "1"], "binary", ("0", "1")),
        (["yes", "no"], "binary", ("no", "yes")),
        (["01", "02", "03"], "multiclass", ("01", "02", "03")),
        (["1.5", "2.5"], "regression", ()),
    ],
)
def test_the_task_follows_from_the_target_and_classes_keep_their_spelling(read, values, task, classes) -> None:
    table, _ = read(rows(a=lambda i: i % 7, y=lambda i: values[i % len(values)]))
    assert infer_task(table) == task
    assert schema_of(table).classes == classes


def test_rows_without_a_target_are_left_out(read) -> None:
    table, _ = read("a,y\n1,0\n2,\n3,1\n")
    assert table["a"].to_pylist() == [1, 3]


def test_a_column_may_have_a_name_that_is_used_inside(read) -> None:
    table, _ = read("target,is_test,image,y\n1,2,3,0\n2,4,5,1\n")
    assert [feature.name for feature in schema_of(table).features] == ["target", "is_test", "image"]


def test_titanic_is_learned_from_as_a_person_would(read) -> None:
    table, _ = read(titanic_like(200), target="Survived")
    schema = schema_of(table)
    assert {column.name: column.role for column in schema.dropped} == {
        "PassengerId": "identifier", "Name": "text", "Ticket": "identifier", "Cabin": "identifier",
    }  # fmt: skip
    assert [f.name for f in schema.features] == ["Pclass", "Sex", "Age", "SibSp", "Parch", "Fare", "Embarked"]
    assert schema.classes == ("0", "1")
    forced = schema_of(table, columns={"PassengerId": "number", "Sex": "drop"})
    assert "PassengerId" in [feature.name for feature in forced.features]
    assert ("Sex", "dropped") in [(column.name, column.role) for column in forced.dropped]


def test_a_constant_is_left_out_and_a_measurement_that_differs_in_every_row_is_not(read) -> None:
    table, _ = read(rows(one=lambda i: 7, area=lambda i: (i * 37) % 101 + 0.5, y=lambda i: i % 2))
    schema = schema_of(table)
    assert [column.name for column in schema.dropped] == ["one"]
    assert [feature.name for feature in schema.features] == ["area"]


def test_a_date_is_three_numbers_wherever_it_is_read(read) -> None:
    day = datetime.date(2021, 1, 4)
    table, _ = read(rows(d=lambda i: (day + datetime.timedelta(i)).strftime("%d/%m/%Y"), y=lambda i: i % 2))
    schema = schema_of(table)
    (feature,) = schema.features
    assert isinstance(feature, DateFeature)
    assert schema.sample == {"d": "2021-01-04"}
    expected = [[18631, 1, 0]]  # days since 1970, January, Monday
    validator = InputValidator(schema, 10)
    for text in ("2021-01-04", "04/01/2021"):
        np.testing.assert_array_equal(validator.validate_instances([{"d": text}], "$").encoded, expected)
    np.testing.assert_array_equal(encode(schema, table.slice(0, 1).to_pandas()), expected)
    with pytest.raises(Problem) as refusal:
        validator.validate_instances([{"d": "yesterday"}, {"d": 5}], "$")
    assert [(e.path, e.expected, e.received) for e in refusal.value.errors] == [
        ("$[0]['d']", "a date, as %d/%m/%Y or ISO 8601", "another text"),
        ("$[1]['d']", "a date, as %d/%m/%Y or ISO 8601", "a number"),
    ]


def test_columns_without_use_are_tolerated_in_requests_and_unknown_ones_are_not(read) -> None:
    table, _ = read(titanic_like(200), target="Survived")
    schema = schema_of(table)
    validator = InputValidator(schema, 10)
    plain = validator.validate_instances([schema.sample], "$").encoded
    with_id = validator.validate_instances([{**schema.sample, "PassengerId": 5, "Name": None}], "$").encoded
    np.testing.assert_array_equal(plain, with_id)
    with pytest.raises(Problem):
        validator.validate_instances([{**schema.sample, "Passenger": 5}], "$")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "rows.csv is empty: expected a header line with the names of the columns, and rows"),
        ("a,y\n", "rows.csv has a header and no rows"),
        (bytes(range(256)) * 9, "rows.csv is not a text file"),
        ('a,y\n1,"x\n2,y\n', "rows.csv: line 2: unexpected end of data; is a quotation mark not closed?"),
        ("a,b,y\n1,2,3\n4,5\n6,7,8,9\n", "expected 3 fields in every line as in the header, received:\n"
         "  line 3: 2 fields\n  line 4: 4 fields"),
        ("a,a,y\n1,2,3\n", "expected each name once, received more than once: a"),
        ("a,,y\n1,2,3\n", "expected a name for every column, received none for column 2"),
        ("1,2,3\n4,5,6\n", "expected names, received numbers (1, 2, 3, …): is the header missing?"),
        ("a,yy\n1,2\n", "data.target: expected a column of rows.csv, received 'y'; did you mean 'yy'?"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_table_is_refused_with_its_lines(read, content, message: str) -> None:
    with pytest.raises(UserError) as refusal:
        read(content)
    assert message in str(refusal.value)


def test_a_file_that_is_not_there_is_told_with_the_nearest(read, tmp_path: Path) -> None:
    (tmp_path / "houses.csv").write_text("a,y\n1,2\n")
    with pytest.raises(UserError, match=r"there is no file .*/house.csv; did you mean 'houses.csv'\?"):
        read_source(Source(source="house.csv", target="y"))
    with pytest.raises(UserError, match="did you mean 'scikit-learn'"):
        read_source(Source(source="scikitlearn", target="y"))


def test_what_is_damaged_nested_or_cut_off_is_refused(read, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"rows\.csv\.gz is not what its ending says, or is damaged"):
        read(os.urandom(100), "rows.csv.gz")
    with pytest.raises(UserError, match=r"rows\.csv\.gz is not what its ending says, or is damaged"):
        read(gzip.compress(b"a,y\n" * 1000)[:-10], "rows.csv.gz")
    pq.write_table(pa.table({"a": [[1], [2]], "y": [0, 1]}), tmp_path / "n.parquet")
    with pytest.raises(UserError, match="expected one value in each cell, received lists, structures or bytes in a"):
        read((tmp_path / "n.parquet").read_bytes(), "nested.parquet")


@pytest.mark.parametrize(
    ("ending", "compress"),
    [("gz", gzip.compress), ("xz", lzma.compress), ("bz2", bz2.compress), ("zip", lambda content: zipped(content))],
)
def test_a_bomb_is_refused_before_it_fills_the_memory(read, ending: str, compress) -> None:
    bomb = compress(bytes(70 * 2**20))
    assert len(bomb) < 100_000
    with pytest.raises(UserError, match=r"cannot be decompressed: expected at most 64 MiB after decompression, receiv"):
        read(bomb, f"rows.csv.{ending}")


def parquet(column: pa.Array, times: int = 1) -> bytes:
    file, table = io.BytesIO(), pa.table({"a": column})
    with pq.ParquetWriter(file, table.schema) as writer:
        for _ in range(times):
            writer.write_table(table)
    return file.getvalue()


BOMBS: dict[str, Callable[[], bytes]] = {
    "rows.parquet": lambda: parquet(pa.repeat(7, 2**22), 40),
    "texts.parquet": lambda: parquet(
        pa.DictionaryArray.from_arrays(pa.array([0] * 20_000, pa.int32()), pa.array(["x" * 100_000]))
    ),
}


@pytest.mark.parametrize(("name", "bomb"), BOMBS.items(), ids=BOMBS.keys())
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits the memory of a process")
def test_a_small_file_of_a_large_table_is_refused_before_it_fills_the_memory(
    read, monkeypatch: pytest.MonkeyPatch, name: str, bomb: Callable[[], bytes]
) -> None:
    content, before = bomb(), resource.getrlimit(resource.RLIMIT_AS)
    assert len(content) < 1_000_000
    monkeypatch.setattr("pipeline.sources.files.MEMORY", 2**27)
    with pytest.raises(
        UserError, match=rf"{name} cannot be read: expected rows that take at most 0.1 GiB of memory, rec"
    ):
        read(content, name)
    assert resource.getrlimit(resource.RLIMIT_AS) == before


def test_json_lines_that_give_every_name_once_are_refused_at_once(read) -> None:
    def lines(names: int, rows: int) -> str:
        return "".join(json.dumps({f"k{i % names}": i, "y": i % 2}) + "\n" for i in range(rows))

    began = time.process_time()
    with pytest.raises(UserError) as refusal:
        read(lines(30_000, 30_000), "rows.jsonl")
    assert time.process_time() - began < 2
    expected = "expected lines that have the same names, received 30,001 names in 30,000 lines"
    assert str(refusal.value) == f"rows.jsonl: {expected}"
    assert read(lines(50, 2_000), "rows.jsonl")[0].num_rows == 2_000


def test_a_message_does_not_list_thousands_of_columns(read) -> None:
    names = ",".join(f"k{number}" for number in range(5000))
    with pytest.raises(UserError, match=r"received 'y'; there are k0, .*, k29, …$"):
        read(f"{names}\n" + ",".join(["1"] * 5000) + "\n")


def test_a_name_with_signs_of_control_is_refused_and_one_of_two_lines_is_not(read) -> None:
    with pytest.raises(UserError, match=r"without signs of control, received 'c\\x1b\[31m': rename them"):
        read(b"a,c\x1b[31m,y\n" + b"1,2,0\n3,4,1\n" * 20)
    table, _ = read(b'a,"Price\n(USD)",y\n' + b"1,2,0\n3,4,1\n" * 20)
    assert "Price\n(USD)" in table.column_names


def zipped(*contents: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for number, content in enumerate(contents):
            archive.writestr(f"rows{number}.csv", content)
    return packed.getvalue()


def test_an_archive_of_several_files_and_one_with_a_password_are_refused(read) -> None:
    with pytest.raises(UserError, match=r"rows\.zip cannot be decompressed: expected one file in the archive, re"):
        read(zipped(b"a,y\n1,0\n", b"a,y\n1,0\n"), "rows.zip")
    content = bytearray(zipped(b"a,y\n1,0\n"))
    for flags in (content.index(b"PK\1\2") + 8, 6):
        content[flags] |= 1  # encrypted
    with pytest.raises(UserError, match=r"rows\.zip cannot be decompressed: .* is encrypted, password required"):
        read(bytes(content), "rows.zip")


def test_damaged_parquet_and_a_column_twice_are_refused(read, tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": range(100), "y": [0, 1] * 50}), tmp_path / "p.parquet")
    content = bytearray((tmp_path / "p.parquet").read_bytes())
    content[30:34] = b"\xff" * 4
    with pytest.raises(UserError, match=r"rows\.parquet cannot be read: "):
        read(bytes(content), "rows.parquet")
    twice = pa.Table.from_arrays([pa.array([1]), pa.array([2]), pa.array([0])], names=["a", "a", "y"])
    with pytest.raises(UserError, match="the query: expected each name once, received more than once: a"):
        flat("the query", lambda: twice)


def test_a_regression_of_text_and_a_column_that_does_not_exist_are_refused(read) -> None:
    with pytest.raises(UserError, match="target 'y': expected numbers for a regression, received x"):
        read("a,y\n1,x\n2,z\n", task="regression")
    table, _ = read(rows(age=lambda i: i % 7, y=lambda i: i % 2))
    with pytest.raises(UserError, match=r"data.columns: expected columns of the data, received 'agge'; did you mean"):
        schema_of(table, columns={"agge": "drop"})
    with pytest.raises(UserError, match="no column is left to learn from:\n  age: the settings say so"):
        schema_of(table, columns={"age": "drop"})


def test_numbers_with_a_plus_sign_are_numbers(read) -> None:
    table, _ = read("a,b,y\n+1,+1.5,0\n2,-2.5,1\n")
    assert (table["a"].to_pylist(), table["b"].to_pylist()) == ([1, 2], [1.5, -2.5])
