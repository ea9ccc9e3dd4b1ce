"""What cannot be streamed is named by part, line or row; what can be mended is, and is told."""

import gzip
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ruamel.yaml import YAML

from contracts.errors import UserError
from pipeline.paths import Paths
from pipeline.stages import fetch
from tests.pipeline.streamed import (
    STREAMED,
    WHOLE,
    mixed,
    settings,
    write_csv,
)

pytestmark = pytest.mark.usefixtures("small_batches")


BAD: dict[str, tuple[dict[str, str], dict, str]] = {
    "other columns": ({"a.csv": "a,b,y\n1,2,0\n", "b.csv": "a,c,y\n1,2,0\n"}, {},
                      "b.csv: expected the columns of .*a.csv, different are b, c"),
    "no target in one part": ({"a.csv": "a,y\n1,0\n", "b.csv": "a\n1\n"}, {}, "b.csv: expected .* different are y"),
    "no target at all": ({"a.csv": "a,yy\n1,0\n"}, {}, "data.target: expected a column of rows, received 'y'"),
    "an empty part": ({"a.csv": "a,y\n1,0\n", "b.csv": ""}, {}, "b.csv is empty: expected a header line"),
    "a part without rows": ({"a.csv": "a,y\n1,0\n", "b.csv": "a,y\n"}, {}, "b.csv has a header and no rows"),
    "another file": ({"a.csv": "a,y\n1,0\n", "notes.json": "{}"}, {}, "notes.json: expected"),
    "ragged": ({"a.csv": "a,y\n" + "1,0\n" * 7000 + "1,2,3\n" + "1,0\n" * 9, "b.csv": "a,y\n1,0\n"}, {},
               "a.csv: expected 2 fields in every line as in the header, received:\n  line 7002: 3 fields"),
    "quoted line ends before": ({"a.csv": 'a,y\n' + '"1\n2",0\n' * 3000 + "1\n"}, {}, "line 6002: 1 fields"),
    "open quote": ({"a.csv": "a,y\n" + "1,0\n" * 900 + '2,"0\n'}, {}, "a.csv: line .*quotation mark not closed"),
    "another encoding": ({"a.csv": "a,y\n" + "1,0\n" * 300_000 + "\udce9,0\n"}, {}, "a.csv: line 300002 is not utf-8"),
    "text in numbers": ({"a.csv": "a,y\n" + "1,0\n" * 900, "b.csv": "a,y\n" + "1,0\n" * 900 + "x,0\n"},
                        {"columns": {"a": "number"}}, "a: expected numbers, received 'x' in row 1801"),
    "infinite": ({"a.csv": "a,y\n" + "1.5,0\n" * 9000 + "inf,1\n"}, {},
                 "a: expected finite numbers, received inf in row 9001"),
    "no class of an order": ({"a.csv": "a,y\n" + "S,0\n" * 9000 + "L,1\n"}, {"columns": {"a": ("S", "M")}},
                             "a: expected S, M, received 'L' in row 9001"),
}  # fmt: skip


@pytest.mark.parametrize(("files", "source", "message"), BAD.values(), ids=BAD.keys())
def test_bad_text_is_refused_by_name_and_nothing_is_left(files: dict[str, str], source: dict, message: str) -> None:
    Path("rows").mkdir()
    for name, content in files.items():
        Path("rows", name).write_bytes(content.encode("utf-8", "surrogateescape"))
    paths = Paths("mine")
    paths.raw.mkdir(parents=True)
    (paths.raw / "data.parquet").write_text("what was there before")
    with pytest.raises(UserError, match=message):
        fetch.run(settings(STREAMED, **source), paths)
    assert [path.name for path in paths.raw.iterdir()] == ["data.parquet"]
    assert (paths.raw / "data.parquet").read_text() == "what was there before"


def parquet_parts(**parts: pa.Table) -> None:
    Path("rows").mkdir()
    for name, table in parts.items():
        pq.write_table(table, f"rows/{name}.parquet")


def test_parquet_types_are_widened_without_loss_or_refused() -> None:
    whole, half = pa.table({"a": [1, 2], "y": ["x", "z"]}), pa.table({"y": ["x", "z"], "a": [0.5, 1.5]})
    parquet_parts(a=whole, b=half)
    fetch.run(settings(STREAMED), Paths("mine"))
    assert pq.read_table("data/raw/mine/data.parquet")["a"].to_pylist() == [1.0, 2.0, 0.5, 1.5]
    pq.write_table(pa.table({"a": [2**60 + 1, 1], "y": ["x", "z"]}), "rows/a.parquet")
    with pytest.raises(UserError, match=r"a\.parquet.*1152921504606846977"):
        fetch.run(settings(STREAMED), Paths("mine"))
    pq.write_table(pa.table({"a": ["1", "2"], "y": ["x", "z"]}), "rows/b.parquet")
    with pytest.raises(UserError, match=r"b\.parquet: expected int64 in 'a' as in .*a\.parquet, received string"):
        fetch.run(settings(STREAMED), Paths("mine"))
    pq.write_table(whole.slice(0, 0), "rows/b.parquet")
    with pytest.raises(UserError, match=r"b\.parquet has no rows"):
        fetch.run(settings(STREAMED), Paths("mine"))
    Path("rows/b.parquet").write_bytes(b"torn")
    with pytest.raises(UserError, match=r"b\.parquet cannot be read"):
        fetch.run(settings(STREAMED), Paths("mine"))


def test_a_few_texts_among_numbers_and_a_late_category_are_kept_and_told(capsys) -> None:
    frame = pd.DataFrame({"n": [str(i) for i in range(1500)], "c": ["early"] * 1499 + ["late"], "y": [0.5, 1.5] * 750})
    frame.loc[1200, "n"] = "unknown"
    write_csv(frame)
    fetch.run(settings(STREAMED), Paths("mine"))
    table = pq.read_table("data/raw/mine/data.parquet")
    assert table.schema.field("n").type == pa.string()
    assert table["c"].to_pylist()[-1] == "late"
    assert "n: text, though nearly all values are numbers, because of 'unknown' in row 1201" in capsys.readouterr().out


def test_rows_without_a_target_are_counted_and_compressed_parts_are_read(capsys) -> None:
    Path("rows").mkdir()
    text = "a,y\n" + " 1 ,2.5\n" * 700 + "NA,\n" * 300
    Path("rows/a.csv.gz").write_bytes(gzip.compress(text.encode()))
    Path("rows/b.csv.zst").write_bytes(pa.Codec("zstd").compress(text.encode(), asbytes=True))
    fetch.run(settings(STREAMED), Paths("mine"))
    assert "1,400 rows; 600 of 2,000 rows have no y and are left out" in capsys.readouterr().out
    assert set(pq.read_table("data/raw/mine/data.parquet")["a"].to_pylist()) == {1}


def test_a_contract_is_broken_in_the_same_rows_as_of_the_whole_table() -> None:
    frame = mixed()
    frame.loc[[5, 1500], "rooms"] = [99, 77]
    frame.loc[2000, "city"] = "Wien"
    write_csv(frame)
    Path("catalog/contracts").mkdir()
    limits = {name: {"type": "text", "missing": 1.0} for name in frame}
    limits["rooms"] = {"type": "number", "maximum": 9}
    limits["gaps"] = {"type": "number"}
    limits["city"] = {"type": "text", "values": ["Rome", "Bonn", "Oslo, North"]}
    del limits["one"]
    YAML().dump({"columns": limits}, Path("catalog/contracts/mine.yaml"))
    messages = []
    for gib in (WHOLE, STREAMED):
        with pytest.raises(UserError, match=r"breaks of .*mine\.yaml, nothing was changed") as refusal:
            fetch.run(settings(gib), Paths("mine"))
        messages.append(str(refusal.value))
    assert messages[0] == messages[1]
    assert "77 in row 1501" in messages[1]
    assert not list(Paths("mine").raw.glob("*"))


def test_a_file_that_changes_between_the_passes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    write_csv(mixed())
    find = "pipeline.sources.streaming.fetch.find_columns"
    found = __import__("pipeline.sources.streaming.fetch", fromlist=["find_columns"]).find_columns

    def change_meanwhile(*arguments):
        with Path("rows/part02.csv").open("a") as file:
            file.write(Path("rows/part02.csv").read_text().splitlines()[-1] + "\n")
        return found(*arguments)

    monkeypatch.setattr(find, change_meanwhile)
    with pytest.raises(UserError, match=r"part02\.csv changed while it was read"):
        fetch.run(settings(STREAMED), Paths("mine"))
