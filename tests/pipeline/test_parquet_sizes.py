"""Which Parquet files are streamed, and how much memory they would take as a whole."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from contracts.settings.source import Source
from pipeline.sources.streaming.fetch import fetch_stream
from pipeline.sources.streaming.first_rows import first_parts
from pipeline.sources.streaming.size import OF_TEXT, choose_for, needs_as_whole


def test_text_of_every_parquet_type_is_estimated_as_text(tmp_path: Path) -> None:
    kinds = [pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())]  # pandas 2, pandas 3, categories
    for kind in kinds:
        pq.write_table(pa.table({"town": pa.array(["a", "b"] * 50).cast(kind)}), tmp_path / "rows.parquet")
        assert needs_as_whole(Source(source=str(tmp_path / "rows.parquet"), target="town")) == 100 * OF_TEXT


def test_parquet_is_known_by_an_ending_in_capitals(tmp_path: Path) -> None:
    source = Source(source=str(tmp_path / "ROWS.PARQUET"), target="town")
    pq.write_table(pa.table({"town": ["a", "b"] * 50, "n": range(100)}), source.source)
    assert choose_for(source, memory=1e-9).streams
    assert fetch_stream(source, tmp_path / "raw.parquet").rows == 100
    assert sum(part.table.num_rows for part in first_parts(source)) > 0


def test_compressed_parquet_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "rows.parquet.gz").touch()
    assert not choose_for(Source(source=str(tmp_path / "rows.parquet.gz"), target="town"), memory=1e-9).streams
