"""The file that a model learned from is predicted as it is: every value becomes the same number as in training."""

import datetime
import json
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from contracts.encoding import answer, encode
from contracts.errors import UserError
from contracts.settings.source import Source
from pipeline.data.schema_inference import infer_schema
from pipeline.data_contract.breaks import Breaks, find_breaks
from pipeline.data_contract.contract import infer_contract
from pipeline.sources.own_table import read_columns, read_source
from pipeline.sources.streaming.fetch import fetch_stream
from pipeline.sources.streaming.text import TextFile
from pipeline.tables import TARGET, infer_task
from serving.batch.file import predict_file
from serving.predictor import Predictor
from tests.serving.bundles import make_bundle

ROWS = 60
HOURS = [datetime.datetime(2024, 3, 30, tzinfo=datetime.UTC) + datetime.timedelta(hours=i) for i in range(ROWS)]


def write(name: str, values: list | pa.Array) -> Path:
    """A file with the column `a`, in which None has no key in JSON lines, and a number to predict."""
    path, targets = Path(name), [i / 2 for i in range(ROWS)]
    if name.endswith("parquet"):
        pq.write_table(pa.table({"a": values, "b": range(ROWS), "y": targets}), path)
    elif name.endswith("jsonl"):
        rows = ({"a": value, "b": i * i % 7, "y": i / 2} for i, value in enumerate(values))
        path.write_text("".join(json.dumps({k: v for k, v in row.items() if v is not None}) + "\n" for row in rows))
    else:
        path.write_text("\n".join(["a;b;y", *(f"{value};{i};{i / 2}" for i, value in enumerate(values)), ""]))
    return path


def learned_and_predicted(path: Path, **settings) -> tuple[np.ndarray, np.ndarray]:
    """The encoded rows of training, and the predictions for the file, less those for these rows."""
    source = Source(source=path.name, target="y", **settings)
    table = read_source(source).table
    source = source.model_copy(update={"task": infer_task(table)})
    schema = infer_schema("mine", source, table, "md5")
    make_bundle(schema, Path("bundle"))
    predict_file(Path("bundle"), path, Path("out.parquet"))
    encoded = encode(schema, table.drop_columns([TARGET]).to_pandas())
    expected = answer(schema, Predictor(Path("bundle")).outputs(encoded))[:, 0]
    return encoded, pq.read_table("out.parquet")["y"].to_numpy() - expected


TENTHS = [i % 3 + 0.5 for i in range(ROWS)]


@pytest.mark.parametrize(
    ("name", "values", "role"),
    [
        ("rows.parquet", pa.array(TENTHS), "category"),
        ("rows.parquet", pa.array([None if i % 4 else 12345678901.0 + i % 3 for i in range(ROWS)]), "category"),
        ("rows.parquet", pa.array([10.0 ** -(5 + i % 3) for i in range(ROWS)]), "category"),
        ("rows.parquet", pa.array([Decimal(str(value)) for value in TENTHS]), "category"),
        ("rows.parquet", pa.array([HOURS[i % 5] for i in range(ROWS)], pa.timestamp("us", "UTC")), "category"),
        ("rows.parquet", pa.array([str(value) for value in TENTHS]), "number"),
        ("rows.jsonl", TENTHS, "category"),
        ("rows.jsonl", [str(value) for value in TENTHS], "number"),
    ],
    ids=["float", "large", "small", "decimal", "moment", "text", "JSON float", "JSON text"],
)
def test_a_column_whose_role_is_set_is_predicted_as_it_was_learned(folder: Path, name: str, values, role: str) -> None:
    encoded, difference = learned_and_predicted(write(name, values), columns={"a": role})
    assert set(encoded[:, 0]) >= ({1, 2, 3} if role == "category" and name.endswith("parquet") else {*encoded[:3, 0]})
    assert not np.isnan(encoded[:, 0]).any()
    np.testing.assert_array_equal(difference, 0)


def test_the_sample_of_moments_has_their_hour(folder: Path) -> None:
    path = write("rows.parquet", pa.array(HOURS, pa.timestamp("us", "UTC")))
    source = Source(source=path.name, target="y", task="regression")
    schema = infer_schema("mine", source, read_source(source).table, "md5")
    assert schema.sample["a"] == "2024-03-30T00:00:00"


@pytest.mark.parametrize(
    ("name", "values", "first"),
    [
        ("rows.parquet", pa.array(HOURS, pa.timestamp("us", "Europe/Berlin")), [19812 + 1 / 24, 3, 5, 1]),
        ("rows.parquet", pa.array(HOURS, pa.timestamp("ns", "UTC")), [19812, 3, 5, 0]),
        ("rows.jsonl", [f"{hour:%Y-%m-%dT%H:%M:%S}+05:00" for hour in HOURS], [19812, 3, 5, 0]),
        ("rows.jsonl", [f"{hour:%Y-%m-%dT%H:%M}{('Z', '-0330')[i % 2]}" for i, hour in enumerate(HOURS)],
         [19812, 3, 5, 0]),
        ("rows.csv", [f"{hour:%Y-%m-%dT%H:%M:%S}+05:00" for hour in HOURS], [19812, 3, 5, 0]),
        ("rows.jsonl", [None if i % 4 == 1 else i % 5 + 0.5 for i in range(ROWS)], [0.5]),
        ("rows.jsonl", [None if i % 4 == 1 else "uvw"[i % 3] for i in range(ROWS)], [1]),
        ("rows.parquet", pa.array([Decimal(f"{i % 9}.25") for i in range(ROWS)]), [0.25]),
        ("rows.parquet", pa.array([Decimal(i % 9) for i in range(ROWS)], pa.decimal256(50)), [0]),
        ("rows.parquet", pa.array(np.arange(ROWS, dtype=np.float16) / 8), [0]),
        ("rows.parquet", pa.array(["u", "v", None] * 20, pa.string_view()), [1]),
    ],
    ids=["zone", "UTC", "JSON zone", "JSON zones", "CSV zone", "no key", "no text", "decimal", "256 bits", "16 bits",
         "view"],
)  # fmt: skip
@pytest.mark.filterwarnings("error")
def test_a_file_is_predicted_as_it_was_learned(folder: Path, name: str, values, first: list[float]) -> None:
    encoded, difference = learned_and_predicted(write(name, values))
    np.testing.assert_allclose(encoded[0][: len(first)], first, rtol=1e-6)
    np.testing.assert_array_equal(difference, 0)


def test_a_date_that_is_to_be_a_category_is_one_as_it_is_written(folder: Path) -> None:
    path = write("rows.jsonl", [f"2024-01-0{1 + i % 5}" for i in range(ROWS)])
    encoded, difference = learned_and_predicted(path, columns={"a": "category"})
    assert encoded[:5, 0].tolist() == [1, 2, 3, 4, 5]
    np.testing.assert_array_equal(difference, 0)


@pytest.mark.parametrize(
    ("values", "received"),
    [
        (pa.array([datetime.time(i % 24) for i in range(ROWS)]), "time64[us] in a"),
        (pa.array([datetime.timedelta(i) for i in range(ROWS)]), "duration[us] in a"),
        (pa.array([bytes(16)] * ROWS, pa.uuid()), "extension<arrow.uuid> in a"),
    ],
    ids=["time", "duration", "UUID"],
)
def test_a_column_that_is_neither_text_nor_number_nor_date_is_named(folder: Path, values, received: str) -> None:
    write("rows.parquet", values)
    with pytest.raises(UserError) as refused:
        read_source(Source(source="rows.parquet", target="y"))
    expected = "rows.parquet: expected text, numbers, true and false, or dates in every column"
    advice = 'write them as text or numbers; data.columns: {"a": drop} leaves them out'
    assert str(refused.value) == f"{expected}, received {received}: {advice}"


@pytest.mark.parametrize("kind", [pa.large_binary(), pa.binary(1), pa.binary_view()], ids=str)
def test_bytes_of_every_type_are_refused(folder: Path, kind: pa.DataType) -> None:
    write("rows.parquet", pa.array([b"u", b"v"] * 30, kind))
    with pytest.raises(UserError, match="expected one value in each cell, received lists, structures or bytes in a"):
        read_source(Source(source="rows.parquet", target="y"))


def test_classes_that_are_the_largest_whole_numbers_are_streamed(folder: Path) -> None:
    codes = [2**63 + i % 3 for i in range(ROWS)]
    pq.write_table(pa.table({"a": range(ROWS), "y": pa.array(codes, pa.uint64())}), "rows.parquet")
    fetch_stream(Source(source="rows.parquet", target="y"), Path("streamed.parquet"))
    assert pq.read_table("streamed.parquet")[TARGET].to_pylist() == [str(code) for code in codes]


def test_a_number_that_is_none_is_missing_as_in_text(folder: Path) -> None:
    """What NumPy, Polars and Spark write to Parquet; pandas makes nulls of it."""
    numbers = np.where(np.arange(ROWS) % 4 == 1, np.nan, np.arange(ROWS) / 8)
    for kind in (np.float64, np.float32, np.float16):
        pq.write_table(pa.table({"a": numbers.astype(kind), "b": range(ROWS), "y": numbers[::-1]}), "rows.parquet")
        source = Source(source="rows.parquet", target="y")
        seen: list[pa.Table] = []
        table, notes, _ = read_source(source, seen.append)
        assert notes == ["15 of 60 rows have no y and are left out"]
        breaks = Breaks(infer_contract(seen[0]))
        breaks.add(seen[0])
        assert breaks.found() == []
        fetch_stream(source, Path("streamed.parquet"))
        assert pq.read_table("streamed.parquet").to_pylist() == table.to_pylist()


@pytest.mark.parametrize("end", [";;\n" * 3, " ; ;\n\n", " \n", "\n"])
def test_blank_rows_at_the_end_of_a_text_are_no_rows(folder: Path, end: str) -> None:
    path = write("rows.csv", [i % 5 for i in range(ROWS)])
    before = read_columns(source := Source(source="rows.csv", target="y"))
    path.write_text(path.read_text() + end)
    after = read_columns(source)
    assert after.equals(before)
    assert find_breaks(after, infer_contract(before)) == []


def test_blank_rows_at_the_end_of_a_stream_are_no_rows_and_others_are(folder: Path, monkeypatch) -> None:
    monkeypatch.setattr("pipeline.sources.streaming.text.BLOCK", 32)
    path = Path("rows.csv")
    path.write_text("a,y\n1,0\n,\n" + ",\n" * 40 + "2,1\n" + ",\n" * 40)
    table = pa.concat_tables(TextFile("rows.csv").batches(("",)))
    assert table["a"].to_pylist() == ["1", *[None] * 41, "2"]
    path.write_text("a,y\n1,\n\n,\n")
    assert pa.concat_tables(TextFile("rows.csv").batches(("",))).to_pylist() == [{"a": "1", "y": None}]
    path.write_text("a,y\n" + ",\n" * 40)
    with pytest.raises(UserError, match="has a header and no rows"):
        list(TextFile("rows.csv").batches(("",)))


def test_a_column_of_lists_or_structures_in_json_lines_can_be_left_out(folder: Path) -> None:
    path = write("rows.jsonl", [{"tags": ["x"] * (i % 3)} if i % 2 else None for i in range(ROWS)])
    with pytest.raises(UserError, match="expected one value in each cell, received lists, structures or bytes in a"):
        read_source(Source(source="rows.jsonl", target="y"))
    table = read_source(Source(source="rows.jsonl", target="y", columns={"a": "drop"})).table
    assert table["a"].null_count == table.num_rows == ROWS
    _, differences = learned_and_predicted(path, columns={"a": "drop"})
    assert abs(differences).max() < 1e-5
