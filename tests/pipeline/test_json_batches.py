"""JSON lines that do not fit into memory become the same files as those that are read as a whole."""

import gzip
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from contracts.errors import UserError
from contracts.settings.source import Source
from pipeline.paths import Paths
from pipeline.stages import fetch
from pipeline.tables import row_groups
from tests.pipeline.streamed import ROWS, STREAMED, assert_same, mixed, run_both, settings
from tests.pipeline.test_own_sources import add

pytestmark = pytest.mark.usefixtures("small_batches", "no_report")


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.sources.json_lines.BLOCK", 50_000)


def lines(late: int = 900) -> list[str]:
    """Rows with every kind of value; a name, a type or a value comes only after `late` rows."""
    rows = []
    for number, row in enumerate(mixed().to_dict("records")):
        row = {name: None if value != value else value for name, value in row.items()}
        row["at"] = f"2024-03-01T{number % 24:02}:00:00+{number % 9:02}:00"
        row["shift"] = f"2024-03-{1 + number % 4:02} 00:00:00"
        row["half"] = row["rooms"] if number < late else row["rooms"] / 2
        row["none"] = None if number < late else f"n{number % 5}"
        row["since"] = f"2024-01-{1 + number % 28:02} 10:00:00" if number < late else f"week {number % 7}"
        row["tags"] = [number] if number % 3 else None
        if number >= late:
            row["new"] = number % 17
        rows.append(json.dumps(row))
    return rows


def test_streamed_lines_become_the_files_of_those_read_as_a_whole(folder: Path) -> None:
    (folder / "rows.jsonl").write_text("\n".join(lines()) + "\n\n")
    whole, streamed = run_both(source="rows.jsonl", columns={"shift": "category", "tags": "drop"})
    assert_same(whole, streamed)
    table = pq.read_table(streamed.raw / "data.parquet")
    assert table["at"][1].as_py().hour == 1  # by its own clock
    assert table["shift"][0].as_py() == "2024-03-01 00:00:00"
    assert table["since"][0].as_py() == "2024-01-01 10:00:00"
    assert table["new"].null_count == 900
    assert not list(Path("var/fetched").iterdir())


def test_compressed_parts_and_test_rows_are_streamed_too(folder: Path) -> None:
    rows = lines(late=ROWS)
    (folder / "rows").mkdir()
    for number, part in enumerate(np.array_split(rows, 3)):
        (folder / f"rows/{number}.jsonl.gz").write_bytes(gzip.compress("\n".join(part).encode()))
    (folder / "later.ndjson").write_text("\n".join(rows[:300]))
    assert_same(*run_both(test_source="later.ndjson", columns={"tags": "drop"}))


@pytest.mark.parametrize(
    ("number", "line", "message"),
    [
        (2000, '{"size": 1, ', "rows.jsonl cannot be read: JSON parse error: .* in line 2,001$"),
        (2000, "null", "rows.jsonl: expected a JSON object in every line, received null$"),
        (2000, '{"size": "large"}', r"rows.jsonl cannot .*/size\) changed from number to string in line 2,001$"),
        (0, '{"size": 1, "group": {"a": 1}}', r"rows.jsonl cannot .*/group\) changed from object to number in "),
        (1, '{"tags": [1]}', "rows.jsonl: expected one value in each cell, received lists, structures or bytes in "),
        (1500, '{"text": "' + "x" * 60_000 + '"}', "rows.jsonl: expected lines of at most 0 MiB, line 1,"),
        (1, '{"\u00ff": 1}', "rows.jsonl cannot be read: .*, after line 0$"),
        (1, '{"city": "\u00ff"}', "rows.jsonl cannot be read: .*, after line 0$"),
    ],
    ids=["cut off", "null", "text", "structure", "list", "long", "no UTF-8", "text not in UTF-8"],
)  # fmt: skip
def test_what_cannot_be_read_is_one_message_and_nothing_is_left(
    folder: Path, number: int, line: str, message: str
) -> None:
    rows = [json.dumps(row | {"gaps": 0}) for row in mixed().to_dict("records")]
    rows[number] = line
    (folder / "rows.jsonl").write_bytes("\n".join(rows).encode("latin-1"))
    with pytest.raises(UserError, match=f"^{message}"):
        fetch.run(settings(STREAMED, source="rows.jsonl"), Paths("mine"))
    assert not list(Path().glob("var/fetched/*"))
    assert not Path("data/raw/mine/data.parquet").exists()


def test_a_line_is_counted_with_blank_lines_before_it(folder: Path) -> None:
    (folder / "rows.jsonl").write_text('{"x": 1, "y": 0}\n\n\n{"x": 2, "y": 1}\n\n{"x": 3,\n')
    with pytest.raises(UserError, match=r"in line 6$"):
        fetch.run(settings(STREAMED, source="rows.jsonl"), Paths("mine"))


def test_a_compressed_file_of_blank_lines_without_end_is_refused(folder: Path, monkeypatch) -> None:
    monkeypatch.setattr("pipeline.sources.decompression.ANY_RATIO", 2**20)
    for name in ("rows.jsonl.gz", "rows.csv.gz"):
        (folder / name).write_bytes(gzip.compress(b"a,y\n" * name.count("csv") + b"\n" * 2**22))
        with pytest.raises(UserError, match=f"{name} cannot be decompressed: expected at most 1 MiB after"):
            fetch.run(settings(STREAMED, source=name), Paths("mine"))


def test_one_list_of_objects_is_read_as_a_whole(folder: Path) -> None:
    (folder / "rows.json").write_text(json.dumps(mixed()[["size", "y"]].to_dict("records")))
    fetch.run(settings(STREAMED, source="rows.json"), Paths("mine"))
    assert pq.read_metadata("data/raw/mine/data.parquet").num_rows == ROWS


def test_a_target_that_is_no_name_of_the_lines_is_told_with_the_file(folder: Path) -> None:
    (folder / "rows.jsonl").write_text("\n".join(lines()))
    told = r"^data\.target: expected a column of rows\.jsonl, received 'z'"
    with pytest.raises(UserError, match=told):
        fetch.run(settings(STREAMED, source="rows.jsonl", target="z", columns={"tags": "drop"}), Paths("mine"))


def test_row_groups_of_long_texts_are_written_before_they_fill_the_memory(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("pipeline.tables.MOST_PENDING", 10_000)
    table = pa.table({"text": ["x" * 1000] * 5})
    with row_groups(tmp_path / "long.parquet", table.schema) as add:
        for _ in range(20):
            add(table)
    written = pq.ParquetFile(tmp_path / "long.parquet").metadata
    assert [written.row_group(number).num_rows for number in range(written.num_row_groups)] == [10] * 10


def test_values_of_several_types_in_different_blocks_are_refused(folder: Path) -> None:
    rows = [json.dumps({"x": 1.5 if n < 500 else None if n < 7000 else "large", "y": n % 2}) for n in range(15_000)]
    (folder / "rows.jsonl").write_text("\n".join(rows))
    message = "rows.jsonl: expected values of one type in x, received double, and string after line "
    with pytest.raises(UserError, match=message):
        fetch.run(settings(STREAMED, source="rows.jsonl"), Paths("mine"))


def test_lines_that_change_while_they_are_read_are_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pipeline.sources.streaming import local_files

    (folder / "rows.jsonl").write_text("\n".join(lines()))
    find = local_files.find_schema

    def find_and_change(path: str, source: Source, *how):
        schema = find(path, source, *how)
        with Path(path).open("a") as file:
            file.write("\n" + lines()[-1])
        return schema

    monkeypatch.setattr(local_files, "find_schema", find_and_change)
    with pytest.raises(UserError, match=r"rows\.jsonl changed while it was read: run again when it is complete"):
        fetch.run(settings(STREAMED, source="rows.jsonl", columns={"tags": "drop"}), Paths("mine"))


def test_add_data_looks_at_the_first_lines(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "rows.jsonl").write_text(
        "\n".join(lines(late=ROWS)).replace('"tags": [', '"tags": "').replace("]}", '"}')
    )
    monkeypatch.setattr("pipeline.commands.data.MOST_ROWS", 500)
    params = (folder / "params.yaml").read_text()
    assert "memory: auto" in params
    (folder / "params.yaml").write_text(params.replace("memory: auto", "memory: 0.001"))
    shown = add("mine", "rows.jsonl", "y")
    assert "mine: multiclass of y, the first " in shown
    assert "fetch reads all rows, in batches." in shown
