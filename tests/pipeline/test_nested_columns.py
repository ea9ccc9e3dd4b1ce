"""Columns of lists and structures: `add-data` leaves them out, and every reader accepts that."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from contracts.errors import UserError
from contracts.schema import load_schema
from contracts.settings.load import load_params
from pipeline.paths import Paths
from pipeline.stages import fetch, preprocess
from tests.pipeline.streamed import STREAMED
from tests.pipeline.test_own_sources import add


def write(form: str) -> None:
    r = np.random.default_rng(0)
    rows = [
        {"x": float(r.normal()), "tags: all": [n, n] if n % 3 else [], "made": {"by": "us"}, "y": n % 2}
        for n in range(300)
    ]
    table = pa.Table.from_pylist(rows).append_column("raw", pa.array([b"\xff"] * 300))
    if form == "parquet":
        pq.write_table(table, "rows.parquet")
    else:
        text = json.dumps(rows) if form == "json" else "\n".join(map(json.dumps, rows))
        Path(f"rows.{form}").write_text(text)


@pytest.mark.usefixtures("no_report", "small_batches")
@pytest.mark.parametrize("memory", ["auto", str(STREAMED)])
@pytest.mark.parametrize("form", ["parquet", "jsonl", "json"])
def test_add_data_leaves_out_what_is_no_value_and_says_so(folder: Path, form: str, memory: str) -> None:
    write(form)
    shown = add("mine", f"rows.{form}", "y")
    nested = ["tags: all", "made"] + (["raw"] if form == "parquet" else [])
    for name in nested:
        assert f"{name} holds lists, structures or bytes, and is left out" in shown
    left_out = ", ".join(f"'{name}': drop" if ":" in name else f"{name}: drop" for name in nested)
    assert f"\n  columns: {{{left_out}}}\n" in Path("catalog/mine.yaml").read_text()
    if form == "json":
        memory = "auto"  # one list is read as a whole
    Path("params.yaml").write_text(Path("params.yaml").read_text().replace("memory: auto", f"memory: {memory}"))
    params, paths = load_params(Path("params.yaml"), "mine"), Paths("mine")
    fetch.run(params, paths)
    preprocess.run(params, paths)
    schema = load_schema(paths.prepared / "schema.json")
    assert [feature.name for feature in schema.features] == ["x"]
    assert {column.name for column in schema.dropped} == set(nested)


def test_a_column_that_is_not_left_out_and_a_nested_target_are_told_what_to_do(folder: Path) -> None:
    write("parquet")
    Path("catalog/mine.yaml").write_text("data: {source: rows.parquet, target: y, columns: {made: drop}}\n")
    told = r"or bytes in tags: all, raw; data.columns: \{\"tags: all\": drop, \"raw\": drop\} leaves them out"
    with pytest.raises(UserError, match=told):
        fetch.run(load_params(Path("params.yaml"), "mine"), Paths("mine"))
    with pytest.raises(UserError, match="received lists, structures or bytes in made"):
        add("other", "rows.parquet", "made")


def test_a_column_of_durations_is_told_to_be_left_out_and_may_be(folder: Path) -> None:
    rows = {"x": np.arange(60) % 7 / 3, "took": pa.array(np.arange(60), pa.duration("s")), "y": ["a", "b"] * 30}
    pq.write_table(pa.table(rows), "rows.parquet")
    Path("catalog/mine.yaml").write_text("data: {source: rows.parquet, target: y}\n")
    told = r'received duration\[s\] in took: .* data.columns: \{"took": drop\} leaves them out'
    with pytest.raises(UserError, match=told):
        fetch.run(load_params(Path("params.yaml"), "mine"), Paths("mine"))
    Path("catalog/mine.yaml").write_text("data: {source: rows.parquet, target: y, columns: {took: drop}}\n")
    fetch.run(load_params(Path("params.yaml"), "mine"), Paths("mine"))


def test_numbers_in_text_of_a_file_with_types_are_told(folder: Path) -> None:
    weights = [f"{n},25" for n in range(300)]
    codes = [f"{n % 40:03}" for n in range(300)]
    table = pa.table({"weight": weights, "code": codes, "x": range(300), "y": [n % 2 for n in range(300)]})
    pq.write_table(table, "rows.parquet")
    shown = " ".join(add("mine", "rows.parquet", "y").split())
    assert "weight: text, though its values are numbers, such as '0,25'; data.columns: {\"weight\": number}" in shown
    assert "code: text" not in shown
