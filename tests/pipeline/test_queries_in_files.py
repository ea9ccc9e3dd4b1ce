"""Queries of any number of rows: they become the same files whether they are read as a whole or streamed."""

import datetime
import fcntl
import os
import sqlite3
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from contracts.errors import UserError
from contracts.settings.load import Fetch, load_params
from contracts.settings.source import Source
from pipeline.paths import Paths
from pipeline.sources.queries import _Column, query_batches
from pipeline.sources.streaming.local_files import local_files
from pipeline.stages import fetch
from tests.pipeline.streamed import STREAMED, WHOLE, assert_same, mixed, run_both, settings, write_parquet
from tests.pipeline.test_own_sources import add

FETCH = Fetch(timeout=5.0, attempts=1)
QUERY = {"source": "select * from visits", "database": "VISITS"}


@pytest.fixture
def rows(folder: Path, monkeypatch: pytest.MonkeyPatch) -> pd.DataFrame:
    """The table `visits`, of 2,400 rows. Later batches have values of types that the first ones lack."""
    frame = mixed()
    frame["late"] = np.where(np.arange(len(frame)) < 700, None, frame["city"])
    half = [int(n) if row < 900 or n % 2 == 0 else n / 2 for row, n in enumerate(frame["rooms"])]
    frame["half"] = pd.Series(half, dtype=object)
    with sqlite3.connect(folder / "visits.db") as connection:
        frame.to_sql("visits", connection, index=False, dtype={"half": "blob"})
    monkeypatch.setenv("VISITS", f"sqlite:///{folder / 'visits.db'}")
    monkeypatch.setattr("pipeline.sources.queries.FETCHED", 100)
    return frame


@pytest.mark.usefixtures("small_batches", "no_report")
def test_a_streamed_query_becomes_the_files_of_one_that_is_read_as_a_whole(rows: pd.DataFrame, capsys) -> None:
    whole, streamed = run_both(**QUERY)
    assert_same(whole, streamed)
    said = capsys.readouterr().out
    assert "mine: streamed in batches" in said
    assert "mine: read as a whole" in said
    table = pq.read_table(streamed.raw / "data.parquet")
    assert table["half"].to_pylist() == rows["half"].tolist()
    assert table["late"].to_pylist() == [None] * 700 + rows["city"].tolist()[700:]
    assert not list(Path("var/fetched").iterdir())


def test_a_batch_has_the_types_of_the_values_so_far(rows: pd.DataFrame) -> None:
    kinds = {name: [] for name in ("late", "half", "rooms")}
    for batch in query_batches(QUERY["source"], "VISITS"):
        for name, known in kinds.items():
            if not known or known[-1] != batch[name].type:
                known.append(batch[name].type)
    assert kinds == {"late": [pa.null(), pa.string()], "half": [pa.int64(), pa.float64()], "rooms": [pa.int64()]}
    with local_files(Source(**QUERY, target="y"), "mine", FETCH) as files:
        assert len(list(Path(files.source.source).iterdir())) == 3


def test_what_a_killed_run_left_is_removed_and_not_read(rows: pd.DataFrame) -> None:
    left, held = Path("var/fetched/mine.left/000000.parquet"), Path("var/fetched/mine.held/000000.parquet")
    for file in (left, held):
        file.parent.mkdir(parents=True)
        file.write_text("half a file")
    lock = os.open(held.parent, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)  # as a run does that goes on
    with local_files(Source(**QUERY, target="y"), "mine", FETCH) as files:
        assert sum(pq.read_metadata(file).num_rows for file in Path(files.source.source).iterdir()) == len(rows)
    os.close(lock)
    assert [path.name for path in Path("var/fetched").iterdir()] == [held.parent.name]


def test_moments_of_several_time_zones_have_the_first_one() -> None:
    column, day = _Column("at"), datetime.datetime(2024, 3, 1, 12)
    zones = [datetime.timezone(datetime.timedelta(hours=hours)) for hours in (1, 2)]
    first, second = (column.add((day.replace(tzinfo=zone),)) for zone in zones)
    assert first.type == second.type == pa.timestamp("us", "+01:00")
    assert (first[0].as_py() - second[0].as_py()) == datetime.timedelta(hours=1)


def test_add_data_leaves_out_bytes_of_a_query(rows: pd.DataFrame) -> None:
    query = "select *, case when rooms > 4 then x'00ff' end as raw from visits"
    shown = add("mine", query, "y", "--database", "VISITS")
    assert "raw holds lists, structures or bytes, and is left out" in shown
    assert "\n  columns: {raw: drop}\n" in Path("catalog/mine.yaml").read_text()
    fetch.run(load_params(Path("params.yaml"), "mine"), Paths("mine"))
    assert pq.read_table("data/raw/mine/data.parquet")["raw"].null_count == len(rows)


def test_add_data_looks_at_the_first_rows_of_a_query(rows: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.commands.data.MOST_ROWS", 500)
    shown = add("visits", QUERY["source"], "y", "--database", "VISITS")
    assert "visits: multiclass of y, the first 500 rows" in shown
    assert "fetch reads all rows, in batches." in shown
    with pytest.raises(UserError, match=r"data\.target: expected a column of the query, received 'z'"):
        add("others", QUERY["source"], "z", "--database", "VISITS")
    monkeypatch.setattr("pipeline.commands.data.MOST_ROWS", 5000)
    assert "visits_2: multiclass of y, 2,400 rows" in add("visits_2", QUERY["source"], "y", "--database", "VISITS")


def test_a_whole_number_that_has_more_than_64_bits_is_one_message(rows: pd.DataFrame, monkeypatch) -> None:
    monkeypatch.setattr("pipeline.sources.queries._plain", lambda value: 2**64)
    with pytest.raises(UserError, match="column 'size': expected whole numbers of at most 64 bits, received larger"):
        next(query_batches(QUERY["source"], "VISITS"))


@pytest.mark.usefixtures("small_batches", "no_report")
def test_a_part_without_any_value_of_a_column_has_the_type_of_the_others(folder: Path) -> None:
    frame = mixed()
    frame["nothing"] = None
    write_parquet(frame)
    part = pq.read_table("rows/part00.parquet")
    for name in ("size", "rooms", "city"):
        part = part.set_column(part.column_names.index(name), name, pa.nulls(len(part)))
    pq.write_table(part, "rows/part00.parquet")
    whole, streamed = run_both()
    assert_same(whole, streamed)
    kinds = pq.read_schema(streamed.raw / "data.parquet")
    found = [kinds.field(name).type for name in ("size", "rooms", "city", "nothing")]
    assert found == [pa.float64(), pa.int64(), pa.string(), pa.string()]


@pytest.mark.parametrize("memory", [WHOLE, STREAMED])
def test_a_query_has_no_hash(rows: pd.DataFrame, memory: float) -> None:

    fetch.run(settings(memory, **QUERY), Paths("mine"))
    assert '"md5": null' in Path("data/raw/mine/source.json").read_text()
