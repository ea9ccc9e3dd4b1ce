"""Files that are no tables, damaged, hostile or of another form: one message each, before the memory is full."""

import bz2
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

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from contracts.errors import UserError
from contracts.settings.source import Source
from pipeline.sources.files import flat
from pipeline.sources.own_table import read_source


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "rows.csv is empty: expected a header line with the names of the columns, and rows"),
        ("a,y\n", "rows.csv has a header and no rows"),
        (bytes(range(256)) * 9, "rows.csv is not a text file: expected rows of text"),
        (b"a,y\n1,2\n\0,2\n", "received a NUL character in line 3"),
        ('a,y\n1,"x\n2,y\n', "rows.csv: line 2: unexpected end of data; is a quotation mark not closed?"),
        ("a,b,y\n1,2,3\n4,5\n6,7,8,9\n", "expected 3 fields in every line as in the header, received:\n"
         "  line 3: 2 fields\n  line 4: 4 fields"),
        ("a,a ,y\n1,2,3\n", "expected each name once, received more than once: a; blanks around do not count"),
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
    with pytest.raises(UserError, match=r"there is no file .*/awk.csv$"):  # and not: did you mean the reader 'csv'?
        read_source(Source(source="awk.csv", target="y"))
    with pytest.raises(UserError, match="SELECT a, y FROM houses; a query needs DATABASE=variable"):
        read_source(Source(source="SELECT a, y FROM houses", target="y"))
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


def test_a_spreadsheet_and_a_folder_of_folders_are_told_what_to_do(read, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"rows\.xlsx is a spreadsheet: expected a table; save its sheet as CSV"):
        read(b"PK\x03\x04\0\0", "rows.xlsx")
    with pytest.raises(UserError, match=r"rows\.db is a database: expected a table; export VISITS_DB=sqlite"):
        read(b"SQLite format 3\0", "rows.db")
    with pytest.raises(UserError, match=r"rows\.orc is not a text file: .* or Parquet \(\.parquet\), rec"):
        read(b"ORC\0", "rows.orc")
    (tmp_path / "parts/year=2020").mkdir(parents=True)
    with pytest.raises(UserError, match="received the folders year=2020: name one of them, or put the files together"):
        read_source(Source(source="parts", target="y"))
    with pytest.raises(UserError, match=r"rows\.json cannot be read: expected a list of JSON objects, received other"):
        read('[{"a": 1, "y": 0},', "rows.json")


@pytest.mark.parametrize(
    ("ending", "compress"),
    [("gz", gzip.compress), ("xz", lzma.compress), ("bz2", bz2.compress), ("zip", lambda content: zipped(content))],
)
def test_a_bomb_is_refused_before_it_fills_the_memory(read, ending: str, compress) -> None:
    bomb = compress(bytes(70 * 2**20))
    assert len(bomb) < 100_000
    with pytest.raises(UserError, match=r"cannot be decompressed: expected at most 64 MiB after decompression, receiv"):
        read(bomb, f"rows.csv.{ending}")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says how large a process is")
def test_damaged_files_leave_no_memory_behind(read) -> None:
    def size() -> int:
        return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()

    content = pa.compress(b"a,y\n1,0\n" * 1000, "zstd", asbytes=True)[:-9]
    before = 0
    for number in range(120):
        with pytest.raises(UserError, match=r"rows\.csv\.zst is not what its ending says, or is damaged"):
            read(content, "rows.csv.zst")
        before = before or (size() if number == 20 else 0)
    assert size() - before < 30 * 2**20  # a megabyte each was never freed


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
    monkeypatch.setattr("pipeline.sources.decompression.MEMORY", 2**27)
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
    with pytest.raises(UserError, match=r"without control characters, received 'c\\x1b\[31m': rename them"):
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
