"""Arrays of numbers: read by simdjson, with exactly the responses that the general JSON parser gives."""

import json
import random
import time

import numpy as np
import orjson
import pytest
from apps import make_model
from bundles import SCHEMAS
from request_bodies import IMAGE
from test_bad_input import NOT_JSON, ROWS
from test_bad_tensors_images_csv import IMAGES
from test_fuzz import garble, mutate

from serving.errors import Problem
from serving.model import ServedModel
from serving.parsing.media_type import parse_media_type
from serving.parsing.number_arrays import read_number_array
from serving.protocols import mlflow_scoring, predict, tensorflow_serving
from serving.validation import validator

JSON = parse_media_type(b"application/json")
PROTOCOLS = {
    "predict": predict.predict,
    "tensorflow": tensorflow_serving.predict,
    "mlflow": mlflow_scoring.invocations,
}


@pytest.fixture(scope="module")
def models(bundles) -> dict[str, ServedModel]:
    return {schema.dataset: make_model(schema, bundles / schema.dataset, max_rows=50) for schema in SCHEMAS}


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ("[[1,2],[3,4],[5,6]]", (3, 2)),
        ("[ [1.5e3] ,\n[ -0.0 ] ]", (2, 1)),
        ("[[[1,2],[3,4],[5,6]],[[1,2],[3,4],[5,6]]]", (2, 3, 2)),
        ("[[[0]]]", (1, 1, 1)),
    ],
)
def test_an_array_of_equal_elements_is_read(text: str, shape: tuple[int, ...]) -> None:
    for body in (f'{{"rows":{text}}}', f' {{ "rows" :\n{text} }} '):
        document = read_number_array(body.encode(), ["rows", "instances"], [(9, 9), shape[1:]])
        assert document is not None
        assert document["rows"].tolist() == json.loads(text)
        assert document["rows"].shape == shape


@pytest.mark.parametrize(
    "text",
    [
        "[]", "[[]]", "[[],[]]", "[[],1]", "[1,2]", "[[[[1]]]]", "[[1,2],[3]]", "[[1],[2,3]]", "[[1,2],3]",
        "[[1],[[2]]]", "[[[1],[2]],[[3]]]", "[[[1,2]],[[1],[2]]]", "[[1],]", "[[1],,[2]]", "[[1,]]", "[[1][2]]",
        "[[1 2]]", "[[1]", "[1]]", "[[true]]", "[[null]]", '[["1"]]', "[[{}]]", "[[01]]", "[[+1]]", "[[1.]]",
        "[[NaN]]", "[[1e400]]", "[[1]]]", "[[1],[2]", "[[18446744073709551616]]", '[["],["],[2]]', "[[1]],[[2]]",
    ],
)  # fmt: skip
@pytest.mark.parametrize("shape", [(1,), (2,), (1, 1), (1, 2), (2, 1)], ids=str)
def test_other_arrays_are_left_to_the_general_parser(text: str, shape: tuple[int, ...]) -> None:
    assert read_number_array(f'{{"rows":{text}}}'.encode(), ["rows"], [shape]) is None


@pytest.mark.parametrize(
    "body", ['{"rows":[[1]]', '{"rows":[[1]]}}', '{"rows":[[1]]} 1', '1 {"rows":[[1]]}', '{"row":[[1]]}', "[[1]]"]
)
def test_other_documents_are_left_to_the_general_parser(body: str) -> None:
    assert read_number_array(body.encode(), ["rows"], [(1,)]) is None


def response_of(monkeypatch: pytest.MonkeyPatch, model: ServedModel, protocol: str, body: bytes) -> str:
    """The response or the problem; fails unless it is the same without `read_number_array`."""
    responses = []
    for read in (read_number_array, lambda *_: None):
        monkeypatch.setattr(validator, "read_number_array", read)
        try:
            responses.append(PROTOCOLS[protocol](model, body, JSON).body.decode())
        except Problem as problem:
            responses.append(f"{problem.status} {problem.detail} {problem.errors}")
    assert responses[0] == responses[1], body[:500]
    return responses[0]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_bad_input_gets_the_same_response(
    monkeypatch: pytest.MonkeyPatch, models: dict[str, ServedModel], protocol: str
) -> None:
    keys = ("instances",) if protocol == "predict" else ("instances", "inputs")
    documents = [{key: [IMAGE, image]} for image in IMAGES.values() for key in keys]
    documents += [{key: [IMAGE] * n} for n in (1, 50, 51) for key in keys]
    documents += [{key: [[0] * 64] * 3} for key in keys]
    for document in documents:
        response_of(monkeypatch, models["tiles"], protocol, json.dumps(document).encode())
    for row, _, _ in ROWS.values():
        response_of(monkeypatch, models["tickets"], protocol, json.dumps({"instances": [row, row]}).encode())
    rows = [
        [[1, 2, 3]] * 50,
        [[1, 2, 3]] * 51,
        [[1, 2, 1e39]],
        [[1, 2]],
        [[[1, 2, 3]]],
        [[1e5, 2, -1e5]],
        [[1, 2, 2**70]],
    ]
    for value in rows:
        for key in keys:
            response_of(monkeypatch, models["prices"], protocol, json.dumps({key: value}).encode())
            response_of(monkeypatch, models["tickets"], protocol, json.dumps({key: value}).encode())
    for body in NOT_JSON.values():
        response_of(monkeypatch, models["prices"], protocol, body)


OTHER_BODIES = [
    '{"instances": [[1,2,3]], "instances": [[1,2,3]]}',
    '{"instances": 1, "instances": [[1,2,3]]}',
    '{"instances": [[1,2,3]], "inputs": null}',
    '{"instances": null, "inputs": [[1,2,3]]}',
    '{"instances": {"instances": [[1,2,3]]}}',
    '{"params": null, "instances": "[[1,2,3]]"}',
    '{"params": null, "instances": "]:[[1,2,3]]"}',
    '{"signature_name": "serving_default", "instances": [[1,2,3]]}',
    '{"signature_name": "[", "instances": [[1,2,3]]}',
    '{"instances": [[1,2,3]], "signature_name": "other"}',
    '{"instances": [[1,2,3]]} ]',
    '{"instances": [[1,2,3]]}}',
    '{"instances": [[1,2,3]]',
    '{"dataframe_split": {"data": [[1,2,3]]}}',
    '{"dataframe_records": [[1,2,3]]}',
    '{"x": [[1,2,3]]}',
    '[[1,2,3]]',
    ' { "instances" :\n[ [1 , 2,3] , [ 1,2, 3 ] ] }\n',
    '{"instances": [[1,2,3]], "x": "\\ud800"}',
    '{"instances": [[1,2,3],]}',
    '{"instances"; [[1,2,3]]}',
]  # fmt: skip


@pytest.mark.parametrize("body", OTHER_BODIES)
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_documents_with_more_than_the_array_get_the_same_response(
    monkeypatch: pytest.MonkeyPatch, models: dict[str, ServedModel], protocol: str, body: str
) -> None:
    response_of(monkeypatch, models["prices"], protocol, body.encode())


def test_mutated_requests_get_the_same_response(
    monkeypatch: pytest.MonkeyPatch, models: dict[str, ServedModel]
) -> None:
    rng = random.Random(3)
    n_predictions = 0
    for number in range(6000):
        protocol = rng.choice(list(PROTOCOLS))
        if number % 2:
            name, instances = "prices", [[rng.choice([1, 2.5, 0, -3]) for _ in range(3)] for _ in range(40)]
        else:
            name, instances = "tiles", [[[rng.randrange(17) for _ in range(8)] for _ in range(8)] for _ in range(4)]
        document = {rng.choice(["instances", "inputs"]): instances}
        body = json.dumps(mutate(document, rng) if rng.random() < 0.4 else document).encode()
        if rng.random() < 0.5:
            body = garble(body, rng)
        n_predictions += response_of(monkeypatch, models[name], protocol, body).startswith("{")
    assert 1000 < n_predictions < 5000  # the changes gave valid and invalid requests


def test_simdjson_is_used_and_faster_than_the_general_parser() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (500, 28, 28))
    body = json.dumps({"instances": pixels.tolist()}).encode()
    document = read_number_array(body, ["instances"], [(28, 28)])
    assert document is not None
    assert np.array_equal(document["instances"], pixels)

    def seconds(read) -> float:  # type: ignore[no-untyped-def]
        times = []
        for _ in range(5):
            started = time.thread_time()
            read()
            times.append(time.thread_time() - started)
        return min(times)

    fast = seconds(lambda: read_number_array(body, ["instances"], [(28, 28)]))
    assert fast < seconds(lambda: np.array(orjson.loads(body)["instances"], np.float64)) / 1.5
