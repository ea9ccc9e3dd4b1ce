"""Text as spreadsheets and other systems export it: old encodings, titles above the header, possible mistakes."""

import csv
import io
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from contracts.errors import UserError
from contracts.settings.source import Source
from pipeline.sources.own_table import read_source
from pipeline.sources.streaming.fetch import fetch_stream
from serving.batch.file import predict_file
from serving.validation.csv_rows import csv_rows
from serving.validation.validator import InputValidator
from tests.pipeline.test_own_tables import rows, schema_of
from tests.serving.bundles import make_bundle


def table_of(value: Callable[[int], str]) -> str:
    return rows(300, a=value, b=lambda i: i % 7, y=lambda i: i % 2)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (table_of(lambda i: f"\u00a3{i}.50"), 0.5),
        (table_of(lambda i: f"{i} \u20ac"), 0),
        (table_of(lambda i: f"{i % 9} \u00b0C"), "0 \u00b0C"),
        (table_of(lambda i: f"it\u2019s {i % 9}"), "it\u2019s 0"),
        (table_of(lambda i: ("A\u00e7a\u00ed", "Ma\u00e7\u00e3")[i % 2]), "A\u00e7a\u00ed"),
        (table_of(lambda i: ("Mon\u2013Fri", "Sat")[i % 2]), "Mon\u2013Fri"),
        (
            rows(60_000, a=lambda i: "Jos\u00e9" if i == 59_000 else "Anna", b=lambda i: i % 7, y=lambda i: i % 2),
            "Anna",
        ),
    ],
    ids=["pound", "euro", "degree", "apostrophe", "Portuguese", "dash", "late"],
)
def test_a_few_signs_of_an_old_western_file_are_what_they_were(read, text: str, value) -> None:
    table, notes = read(text.encode("cp1252"))
    assert "encoding cp1252" in notes[0]
    assert table["a"][0].as_py() == value


@pytest.mark.parametrize(
    ("encoding", "names"),
    [
        ("shift_jis", ("東京", "大阪")),
        ("cp1251", ("Санкт-Петербург", "Москва", "Казань")),
        ("cp1253", ("Αθήνα", "Θεσσαλονίκη", "Πάτρα")),
        ("cp850", ("Müller", "Jäger", "Weiß")),
        ("mac_roman", ("Café", "Noël", "Façade")),
    ],
)
def test_an_old_file_of_another_kind_is_not_taken_for_a_western_one_of_windows(read, encoding: str, names) -> None:
    table, _ = read(rows(300, a=lambda i: names[i % len(names)], y=lambda i: i % 2).encode(encoding))
    assert set(table["a"].to_pylist()) == set(names)


def test_lines_may_end_as_on_an_old_macintosh(folder: Path) -> None:
    text = table_of(lambda i: f"x{i % 9}").replace("\n", "\r")
    (folder / "rows.csv").write_bytes(text.encode())
    source = Source(source="rows.csv", target="y")
    table = read_source(source).table
    assert (table.num_rows, table["b"].to_pylist()[:3]) == (300, [0, 1, 2])
    assert fetch_stream(source, folder / "streamed.parquet").rows == 300
    (folder / "semicolons.csv").write_bytes(text.replace(",", ";").encode())
    schema = schema_of(read_source(Source(source="semicolons.csv", target="y")).table)
    assert len(csv_rows(InputValidator(schema, 300), text.replace(",", ";").encode()).encoded) == 300


def test_what_macos_adds_to_an_archive_is_no_table(read) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("rows.csv", "a,y\n1,0\n2,1\n")
        archive.writestr("__MACOSX/._rows.csv", b"\0\5\26\7")
    assert read(packed.getvalue(), "rows.zip")[0].num_rows == 2


LINES = "".join(f"{i % 3},{i % 5},{i % 2}\n" for i in range(20))
FURTHER = (
    "rows.csv: expected a name for each of the 3 fields of every line, received {} in line 1: is the header further "
    "down, or does it lack a name?"
)
UNUSABLE = "rows.csv: the header line is not usable:\n  expected a name for every column, received none for column "


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"# exported on Monday\na,b,y\n{LINES}", FURTHER.format(1)),
        (f"sep=,\na,b,y\n{LINES}", FURTHER.format(2)),
        (f"b,y\n{LINES}", FURTHER.format(2)),
        (f"Report 2024,,\na,b,y\n{LINES}", f"{UNUSABLE}2, 3: is the header further down?"),
        (f"a,y,,\n{LINES}".replace("\n0", "\n,0"), f"{UNUSABLE}3, 4: name or remove what lacks one"),
    ],
    ids=["comment", "separator", "row names", "title", "empty columns"],
)
def test_a_header_that_is_none_is_told_with_what_to_do(read, text: str, message: str) -> None:
    with pytest.raises(UserError) as refused:
        read(text)
    assert str(refused.value).startswith(message)


@pytest.mark.parametrize(
    ("columns", "note"),
    [
        ({"a": ("250", "1.250", "12.500")},
         "a: '.' in '1.250' is read as decimal mark; where it divides thousands, set data.decimal"),
        ({"d": ("unknown", *(f"{1 + i % 12:02}/{1 + i % 28:02}/2024" for i in range(59)))},
         "d: text, though nearly all values are dates as %m/%d/%Y, because of 'unknown' in row 1; data.missing takes "
         "them as missing"),
        ({"d": ("2024-13-45", *(f"2024-01-{1 + i % 28:02} 07:30" for i in range(59)))},
         "d: text, though nearly all values are dates as %Y-%m-%d %H:%M, because of '2024-13-45' in row 1; "
         "data.missing takes them as missing"),
        ({"a": ("-", *map(str, range(24)), "n.a.", "-", "-", "-")},
         "a: text, though all other values are numbers, because of 11 values: '-' in row 1, 'n.a.' in row 26, "
         "'-' in row 27, '-' in row 28, '-' in row 29, '-' in row 30, 'n.a.' in row 55, '-' in row 56, '-' in row 57, "
         "'-' in row 58, …; data.missing takes them as missing"),
        ({"a": tuple(f"({i}.50)" if i % 2 else f"{i}.50" for i in range(30))},
         "a: text, because of what is beside its numbers, as in '(1.50)'; write -1 for (1), and no unit"),
        ({"a": tuple(f"{i}.5 kg" for i in range(30))},
         "a: text, because of what is beside its numbers, as in '0.5 kg'; write -1 for (1), and no unit"),
    ],
    ids=["thousands", "no date", "impossible date", "markers", "brackets", "unit"],
)  # fmt: skip
def test_what_may_be_read_wrongly_is_said(read, columns: dict, note: str) -> None:
    (name, values), *_ = columns.items()
    text = rows(60, **{name: lambda i: values[i % len(values)], "y": lambda i: i % 2}).replace(",", ";")
    assert note in read(text)[1]


@pytest.mark.parametrize(
    "text",
    [
        rows(60, a=lambda i: ("0.333", "3.667", "4")[i % 3], y=lambda i: i % 2),
        rows(60, a=lambda i: ("1.250", "3.667")[i % 2], y=lambda i: i % 2),
        rows(60, a=lambda i: ("250", "1.250")[i % 2], b=lambda i: i / 7, y=lambda i: i % 2),
        rows(60, a=lambda i: ("1", "2", "3 or more")[i % 3], y=lambda i: i % 2),
        rows(60, d=lambda i: ("2024-01-02", "03/04/2024", "5")[i % 3], y=lambda i: i % 2),
    ],
    ids=["fractions", "three decimals", "another column decides", "a category", "several formats"],
)
def test_what_is_clear_has_no_note(read, text: str) -> None:
    assert read(text)[1] == ["delimiter comma, encoding utf-8, decimal mark '.'"]


def test_classes_that_differ_in_case_or_blanks_alone_are_said(folder: Path) -> None:
    (folder / "rows.csv").write_text(
        rows(60, a=lambda i: i % 7, y=lambda i: ("Yes", "yes ", "No", "n o", "maybe")[i % 5])
    )
    source = Source(source="rows.csv", target="y")
    note = (
        "y: different classes are spelt alike: 'No', 'n o'; 'Yes', 'yes'; if they are one, write it alike in the source"
    )
    assert note in read_source(source).notes
    assert note in fetch_stream(source, folder / "streamed.parquet").notes
    (folder / "rows.csv").write_text(rows(60, a=lambda i: i % 7, y=lambda i: ("Yes", "No")[i % 2]))
    assert not [note for note in read_source(source).notes if re.search("alike", note)]


@pytest.mark.parametrize("stream", [False, True], ids=["as a whole", "as a stream"])
def test_a_blank_is_missing_whatever_else_the_settings_call_so(folder: Path, stream: bool) -> None:
    text = rows(60, a=lambda i: ("", "-", i)[i % 3], b=lambda i: ("", "u", "v")[i % 3], y=lambda i: i % 2)
    (folder / "rows.csv").write_text(text)
    source = Source(source="rows.csv", target="y", missing=("-",))
    fetch_stream(source, folder / "streamed.parquet")
    table = pq.read_table(folder / "streamed.parquet") if stream else read_source(source).table
    assert table["a"].to_pylist()[:6] == [None, None, 2, None, None, 5]
    assert table["b"].to_pylist()[:3] == [None, "u", "v"]


def test_a_long_document_in_a_field_is_read_everywhere(folder: Path) -> None:
    text = rows(60, a=lambda i: i % 7, doc=lambda i: "word " * (40_000 if i == 3 else 1), y=lambda i: i / 7)
    (folder / "rows.csv").write_text(text)
    csv.field_size_limit(131_072)  # Python's own
    source = Source(source="rows.csv", target="y")
    table = read_source(source).table
    assert len(table["doc"][3].as_py()) > 199_000
    csv.field_size_limit(131_072)
    fetch_stream(source, folder / "streamed.parquet")
    make_bundle(schema_of(table), folder / "bundle")
    csv.field_size_limit(131_072)
    assert predict_file(folder / "bundle", folder / "rows.csv", folder / "out.csv").rows == 60


@pytest.mark.parametrize("form", ["{0:02}/{1:02}/2020", "2020-{1:02}-{0:02}", "{1}/{0}/20 5:07 PM", "{0}-Feb-2020"])
def test_a_day_that_does_not_exist_is_not_a_day_of_the_next_month(read, form: str) -> None:
    def date(day: int) -> str:
        return form.format(day, 2)

    table, _ = read(table_of(lambda i: date(1 + i % 29)).encode())
    assert str(table["a"].type).startswith("timestamp")
    assert {moment.month for moment in table["a"].to_pylist()} == {2}
    table, notes = read(table_of(lambda i: date(31 if i == 200 else 1 + i % 29)).encode())
    assert str(table["a"].type) == "string"
    (note,) = [note for note in notes if "nearly all values are dates" in note]
    assert f"'{date(31)}' in row 201" in note
