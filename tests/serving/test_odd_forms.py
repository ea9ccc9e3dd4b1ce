"""Requests and files in forms that are rare, but have one right answer."""

import csv
import io
from pathlib import Path

import httpx
import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from apps import client_of, make_model, make_test_app
from bundles import PRICES, TICKETS, TILES
from PIL import Image
from request_bodies import assert_problem

from contracts.schema import CategoricalFeature, ClassTarget, DateFeature, NumericFeature, TextForm
from pipeline.sources.conversion.types import plain
from serving.batch import file
from serving.batch.file import predict_file
from serving.batch.parquet_rows import parquet_chunks
from serving.errors import Problem
from serving.parsing.image_files import ImageError, decode_image
from serving.predictor import Predictor
from serving.validation.csv_rows import csv_rows
from serving.validation.validator import InputValidator

CSV = {"content-type": "text/csv"}


@pytest.mark.parametrize(
    ("text", "number"),
    [("36,6", 36.6), ("1.250", 1250), ("1.250,5", 1250.5), ("-1.234.567", -1234567), ("1.250e3", 1_250_000),
     ("36.6", None), ("0.25", None), ("1.2.3", None), ("1.2500", None)],
)  # fmt: skip
def test_a_point_in_a_file_with_decimal_commas_divides_thousands_or_is_refused(text: str, number) -> None:
    validator = InputValidator(PRICES.model_copy(update={"text": TextForm(delimiter=";", decimal=",")}), 10)
    body = f"a;b;c\n1;2;{text}\n".encode()
    if number is not None:
        assert csv_rows(validator, body).encoded.tolist() == [[1, 2, np.float32(number)]]
        return
    with pytest.raises(Problem) as refused:
        csv_rows(validator, body)
    assert refused.value.errors[0].path == "line 2, column 'c'"


def test_the_scans_of_a_jpeg_count_whatever_it_calls_itself() -> None:
    (image,), file = TILES.features, io.BytesIO()
    picture = Image.new("L", (8, 8), 200)
    picture.save(file, "MPO", save_all=True, append_images=[picture])
    assert Image.open(file).format == "MPO"
    assert decode_image(file.getvalue(), image).shape == (64,)
    with pytest.raises(ImageError) as refused:
        decode_image(file.getvalue() + b"\xff\xda" * 200, image)
    assert refused.value.expected == "a JPEG of at most 100 scans"


PLACES = TICKETS.model_copy(
    update={"dataset": "places", "features": (
        CategoricalFeature(name="port", categories=("x", "y"), missing=False),
        CategoricalFeature(name="open", categories=("false", "true"), missing=False),
    ), "sample": {"port": "x", "open": "true"}}
)  # fmt: skip


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    with client_of(make_test_app(make_model(PLACES, tmp_path_factory.mktemp("places") / "places"))) as client:
        yield client


def infer(client: httpx.Client, name: str, inputs: list, content: bytes = b"", **document) -> httpx.Response:
    body = orjson.dumps({"inputs": inputs, **document})
    head = {"inference-header-content-length": str(len(body)), "content-type": "application/octet-stream"}
    return client.post(f"/v2/models/{name}/infer", content=body + content, headers=head)


def test_texts_of_one_tensor_are_those_of_a_tensor_each(places: httpx.Client) -> None:
    as_json = infer(places, "places", [{"name": "rows", "shape": [1, 2], "datatype": "BYTES", "data": ["x", "true"]}])
    content = b"\x01\0\0\0x\x04\0\0\0true"
    binary = {"binary_data_size": len(content)}
    as_bytes = infer(
        places, "places", [{"name": "rows", "shape": [1, 2], "datatype": "BYTES", "parameters": binary}], content
    )
    assert as_json.json()["outputs"] == as_bytes.json()["outputs"]
    empty = infer(places, "places", [{"name": "rows", "shape": [1, 2], "datatype": "BYTES", "data": ["", "true"]}])
    assert_problem(empty, 400, "training saw none missing")


def test_a_truth_value_of_a_tensor_is_a_category_and_no_number(places: httpx.Client, tickets: httpx.Client) -> None:
    port = {"name": "port", "shape": [1], "datatype": "BYTES", "data": ["x"]}
    truth = {"name": "open", "shape": [1], "datatype": "BOOL"}
    as_json = infer(places, "places", [port, truth | {"data": [True]}])
    as_bytes = infer(places, "places", [port, truth | {"parameters": {"binary_data_size": 1}}], b"\x01")
    assert as_json.status_code == as_bytes.status_code == 200
    assert as_json.json()["outputs"] == as_bytes.json()["outputs"]
    row = {"age": ("BOOL", True), "fare paid": ("FP32", 7.25), "port": ("BYTES", "Southampton"), "deck": ("BYTES", "A")}
    tensors = [{"name": n, "shape": [1], "datatype": kind, "data": [value]} for n, (kind, value) in row.items()]
    assert_problem(infer(tickets, "tickets", tensors), 400, "expected a number")


@pytest.mark.parametrize("shape", [[1, 2], [2, 2], [2, 8, 8]])
def test_picture_files_are_as_many_as_the_rows(tiles: httpx.Client, shape: list[int]) -> None:
    tensor = {"name": "image", "shape": shape, "datatype": "BYTES", "data": [""] * int(np.prod(shape))}
    assert_problem(infer(tiles, "tiles", [tensor]), 400, f"picture files of shape [{shape[0]}, 1]")


@pytest.mark.parametrize("length", ["0" * 19 + "1" + "0" * 4300, "1" * 30])
def test_a_length_with_too_many_digits_is_refused(tiles: httpx.Client, length: str) -> None:
    head = {"inference-header-content-length": length}
    answer = tiles.post("/v2/models/tiles/infer", content=b'{"inputs": []}', headers=head)
    assert_problem(answer, 400, "Inference-Header-Content-Length: expected a length within the body, received another")


def test_no_rows_have_the_datatype_of_some(tmp_path: Path) -> None:
    target = ClassTarget(name="y", classes=("0", "1"), frequencies=(0.5, 0.5), kind="integer")
    schema = PRICES.model_copy(update={"dataset": "none", "task": "multiclass", "target": target})
    with client_of(make_test_app(make_model(schema, tmp_path / "none"))) as client:
        inputs = [{"name": name, "shape": [0, 1], "datatype": "FP32", "data": []} for name in "abc"]
        (label,) = infer(client, "none", inputs, outputs=[{"name": "label"}]).json()["outputs"]
    assert (label["datatype"], label["data"]) == ("INT64", [])


def test_the_example_of_a_csv_is_one(tmp_path: Path) -> None:
    features = (CategoricalFeature(name='job, or "role"', categories=("Sales, retail",), missing=False),)
    schema = PRICES.model_copy(
        update={"dataset": "jobs", "features": features, "sample": {features[0].name: "Sales, retail"}}
    )
    with client_of(make_test_app(make_model(schema, tmp_path / "jobs"))) as client:
        content = client.get("/openapi.json").json()["paths"]["/predict"]["post"]["requestBody"]["content"]
        example = content["text/csv"]["example"]
        assert list(csv.reader(io.StringIO(example))) == [[features[0].name], ["Sales, retail"]]
        assert client.post("/predict", content=example, headers=CSV).status_code == 200


def parts_of(name: str) -> tuple[NumericFeature, ...]:
    return tuple(
        NumericFeature(name=f"{name} {of}", minimum=0, maximum=20_000, mean=0, std=1, median=0, missing=False)
        for of in ("days", "month", "weekday")
    )


def test_the_gap_of_a_column_of_dates_is_named_and_no_date(tmp_path: Path) -> None:
    day = DateFeature(name="day", format="%Y-%m-%d", missing=False, parts=parts_of("day"))
    schema = PRICES.model_copy(update={"features": (day,), "sample": {"day": "2024-01-01"}})
    make_model(schema, tmp_path / "bundle")
    days = pa.array(np.array(["2024-01-01"] * 30, "datetime64[D]")).to_pylist()
    days[25] = None
    pq.write_table(pa.table({"day": pa.array(days, pa.date32())}), tmp_path / "days.parquet")
    with pytest.raises(Problem) as refused:
        predict_file(tmp_path / "bundle", tmp_path / "days.parquet", tmp_path / "out.parquet")
    assert [error.path for error in refused.value.errors] == ["row 25, column 'day'"]


def test_another_encoding_far_down_in_a_file_is_that_of_the_data(tmp_path: Path) -> None:
    port = CategoricalFeature(name="port", categories=("Málaga", "Rome"), missing=False)
    form = TextForm(encoding="cp1252")
    schema = PRICES.model_copy(update={"features": (port,), "sample": {"port": "Rome"}, "text": form})
    make_model(schema, tmp_path / "bundle")
    (tmp_path / "rows.csv").write_bytes(("port\n" + "Rome\n" * 250_000 + "Málaga\n").encode("cp1252"))
    counts = predict_file(tmp_path / "bundle", tmp_path / "rows.csv", tmp_path / "out.parquet")
    assert (counts.rows, counts.warnings) == (250_001, 0)


def test_a_row_without_a_finite_prediction_ends_a_file_with_its_number(tmp_path: Path, monkeypatch) -> None:
    make_model(PRICES, tmp_path / "bundle")
    outputs = Predictor.outputs  # of a network that overflows, which this one is too small for
    overflows = lambda self, rows: np.where(rows[:, :1] > 1e38, np.nan, outputs(self, rows))  # noqa: E731
    monkeypatch.setattr(Predictor, "outputs", overflows)
    monkeypatch.setattr(file, "CHUNK_ROWS", 4)
    rows, out = tmp_path / "rows.csv", tmp_path / "out.csv"
    lines = [",".join(str(value) for value in PRICES.sample.values())] * 9
    lines[6] = ",".join(["3e38"] * len(PRICES.sample))
    rows.write_text("\n".join([",".join(PRICES.sample), *lines]) + "\n")
    with pytest.raises(Problem, match="row 7, counted from 1, is too far from the training data to give a number"):
        predict_file(tmp_path / "bundle", rows, out)
    assert not out.exists()


def test_a_parquet_file_with_a_name_twice_is_refused_by_the_name(tmp_path: Path) -> None:
    make_model(PRICES, tmp_path / "bundle")
    first, *others = PRICES.sample
    table = pa.table([pa.array([1.0])] * (len(others) + 2), names=[first, first, *others])
    pq.write_table(table, tmp_path / "rows.parquet")
    with pytest.raises(ValueError, match=f"expected each name once, received more than once: {first}$"):
        predict_file(tmp_path / "bundle", tmp_path / "rows.parquet", tmp_path / "out.csv")


@pytest.mark.parametrize("kind", [pa.float16(), pa.float32(), pa.float64()])
def test_a_category_of_fractions_is_known_whatever_their_precision(kind: pa.DataType, tmp_path: Path) -> None:
    sizes = pa.chunked_array([pa.array(np.array([0.5, 0.1, 0.3], kind.to_pandas_dtype()), kind)])
    table = pa.table({"size": sizes})
    texts = tuple(sorted(plain(table)["size"].cast(pa.string()).to_pylist()))
    feature = CategoricalFeature(name="size", categories=texts, missing=False)
    schema = PRICES.model_copy(update={"features": (feature,), "sample": {"size": texts[0]}})
    pq.write_table(table, tmp_path / "rows.parquet")
    (rows,) = parquet_chunks(InputValidator(schema, 10), tmp_path / "rows.parquet")
    assert rows.encoded[:, 0].tolist() == [3, 1, 2]


def test_a_name_with_blanks_around_it_is_found_in_a_header() -> None:
    features = tuple(f.model_copy(update={"name": f" {f.name}"}) for f in PRICES.features)
    sample = {f" {name}": value for name, value in PRICES.sample.items()}
    validator = InputValidator(PRICES.model_copy(update={"features": features, "sample": sample}), 10)
    body = ",".join(sample) + "\n" + ",".join("1" for _ in sample) + "\n"
    assert csv_rows(validator, body.encode()).encoded.shape == (1, len(features))
