"""A person's own file: what is found in it, what is left out, and the message for every mistake."""

import datetime
import gzip
import lzma
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from contracts.encoding import encode
from contracts.errors import UserError
from contracts.schema import DateFeature, Schema
from contracts.settings.source import Source
from pipeline.data.schema_inference import infer_schema
from pipeline.sources.own_table import read_source
from pipeline.tables import TARGET, infer_task, text_form
from serving.errors import Problem
from serving.validation.csv_rows import csv_rows
from serving.validation.validator import InputValidator
from tests.pipeline.titanic import titanic_like


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
        ("a;y\n1 234,5;0\n-2\u202f345\u202f678;1\n", {"a": 1234.5}),
        ("a,b,y\n1'234.5,12\u00a0000\u00a0€,0\n2’345’678,5 €,1\n", {"a": 1234.5, "b": 12000}),
        ("a,b,y\n030 123 456,12 34,0\n1 234,123 456 7,1\n", {"a": "030 123 456", "b": "12 34"}),
        ('a,b,y\n"$1,234.50",5 %,0\n-$2,7%,1\n', {"a": 1234.5, "b": 5}),
        ("a;b;y\n1.234,5 €;-£3;0\n2 €;£1;1\n", {"a": 1234.5, "b": -3}),
        ("a,b,y\n$5,$$,0\n€5,$,1\n", {"a": "$5", "b": "$$"}),
        ("\ufeffa,y\n 1 ,0\n2,1\n", {"a": 1}),
        ("a,y\nNA,0\n?,1\n3,0\n", {"a": None}),
        ("a,y\n007,0\n010,1\n", {"a": "007"}),
        ("d,y\n31/12/2020,0\n01/02/2021,1\n", {"d": datetime.datetime(2020, 12, 31)}),
        ("d,y\n12/31/2020,0\n01/02/2021,1\n", {"d": datetime.datetime(2020, 12, 31)}),
    ],
    ids=[
        "decimal comma", "tab", "thousands", "thousands by spaces", "thousands by apostrophes",
        "groups of other digits", "units", "units behind", "several units", "BOM", "markers", "leading zero",
        "day first", "month first",
    ],
)  # fmt: skip
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


def test_units_are_said_and_noted_for_later_files(read) -> None:
    table, notes = read("a,b,y\n$5,1,0\n$7,2,1\n")
    assert "a: numbers in $" in notes
    form = text_form(table.schema)
    assert form is not None
    assert form.units == {"a": "$"}


def test_latin_letters_of_an_old_file_are_read(read) -> None:
    table, notes = read(("name,y\n" + "Müller,0\nJosé,1\nGarçon,0\n" * 20).encode("cp1252"))
    assert table["name"].to_pylist()[:3] == ["Müller", "José", "Garçon"]
    assert "cp1252" in notes[0]


@pytest.mark.parametrize("ending", ["gz", "xz", "zip", "zst", "parquet", "jsonl", "json"])
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
        case "json" | "jsonl":
            frame.to_json(path, orient="records", lines=ending == "jsonl")
            name = f"rows.{ending}"
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


@pytest.mark.parametrize(
    ("form", "after"),
    [("%m/%d/%Y %H:%M", ""), ("%Y-%m-%d %H:%M:%S", " UTC"), ("%Y-%m-%dT%H:%M:%S", ".250Z"), ("%Y-%m-%dT%H:%M", ""),
     ("%d.%m.%Y %H:%M:%S", ""), ("%m/%d/%Y %I:%M:%S %p", ""), ("%d-%b-%Y", ""), ("%B %d, %Y", ""), ("%m/%d/%y", "")],
)  # fmt: skip
def test_a_moment_is_read_as_it_is_written_and_has_an_hour(read, form: str, after: str) -> None:
    moments = [datetime.datetime(2021, 1, 4, 6) + datetime.timedelta(hours=31 * i) for i in range(60)]
    texts = [moment.strftime(form) + after for moment in moments]
    schema = schema_of(read(rows(n=60, d=lambda i: f'"{texts[i]}"', y=lambda i: i % 2))[0])
    (feature,) = schema.features
    assert (feature.kind, feature.format) == ("date", form)
    encoded = InputValidator(schema, 10).validate_instances([{"d": texts[0]}, {"d": texts[2]}], "$").encoded
    hours = [6, 20] if ":%M" in form else [0, 0]  # of days there is none
    np.testing.assert_allclose(encoded[:, 0], [18631 + hours[0] / 24, 18633 + hours[1] / 24], rtol=1e-6)
    np.testing.assert_array_equal(encoded[:, 1:], [[1, 0, 6], [1, 2, 20]] if any(hours) else [[1, 0], [1, 2]])


def test_columns_without_use_are_tolerated_in_requests_and_unknown_ones_are_not(read) -> None:
    table, _ = read(titanic_like(200), target="Survived")
    schema = schema_of(table)
    validator = InputValidator(schema, 10)
    plain = validator.validate_instances([schema.sample], "$").encoded
    with_id = validator.validate_instances([{**schema.sample, "PassengerId": 5, "Name": None}], "$").encoded
    np.testing.assert_array_equal(plain, with_id)
    with pytest.raises(Problem):
        validator.validate_instances([{**schema.sample, "Passenger": 5}], "$")


@pytest.mark.parametrize("index", [range(30), [(i * 7) % 30 for i in range(30)], [f"car {i}" for i in range(30)]])
def test_an_index_without_a_name_is_left_out_and_the_same_file_can_be_asked_about(read, index) -> None:
    """What pandas writes by default, and R."""
    frame = pd.DataFrame({"a": [i % 5 for i in range(30)], "y": ["no", "yes"] * 15}, index=list(index))
    content = frame.to_csv()
    assert content.startswith(",a,y")
    schema = schema_of(read(content)[0])
    assert [feature.name for feature in schema.features] == ["a"]
    assert [(column.name, column.role) for column in schema.dropped] == [("unnamed", "identifier")]
    encoded = csv_rows(InputValidator(schema, 100), content.encode()).encoded
    assert encoded[:, 0].tolist() == frame["a"].tolist()


def test_numbers_with_a_plus_sign_are_numbers(read) -> None:
    table, _ = read("a,b,y\n+1,+1.5,0\n2,-2.5,1\n")
    assert (table["a"].to_pylist(), table["b"].to_pylist()) == ([1, 2], [1.5, -2.5])


def test_a_regression_of_text_and_a_column_that_does_not_exist_are_refused(read) -> None:
    with pytest.raises(UserError, match="target 'y': expected numbers for a regression, received x"):
        read("a,y\n1,x\n2,z\n", task="regression")
    table, _ = read(rows(age=lambda i: i % 7, y=lambda i: i % 2))
    with pytest.raises(UserError, match=r"data.columns: expected columns of the data, received 'agge'; did you mean"):
        schema_of(table, columns={"agge": "drop"})
    with pytest.raises(UserError, match="no column is left to learn from:\n  age: the settings say so"):
        schema_of(table, columns={"age": "drop"})
