"""A long array of numbers is read on a way of its own: faster, and with the same answers to the last character."""

import itertools
import json
import random
import time

import numpy as np
import orjson
import pytest
from asking import IMAGE
from bundles import PRICES, TICKETS, TILES, make_bundle
from test_catalogue import NOT_JSON, ROWS
from test_catalogue_of_forms import IMAGES
from test_fuzz import garble, mutate

from contracts.encoding import encode
from serving.errors import Problem
from serving.metrics import Meters
from serving.model import Model
from serving.parsing import json_arrays, json_body
from serving.parsing.json_arrays import read_array
from serving.parsing.json_integers import read_small_numbers
from serving.predictor import Predictor
from serving.protocols import mlflow_scoring, predict, tensorflow_serving

PROTOCOLS = {"ours": predict.predict, "tensorflow": tensorflow_serving.predict, "mlflow": mlflow_scoring.invocations}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Model]:
    made = {}
    for schema in (TICKETS, TILES, PRICES):
        folder = tmp_path_factory.mktemp("bundles") / schema.dataset
        make_bundle(schema, folder)
        predictor = Predictor(folder)
        sample = encode(schema, {name: [value] for name, value in schema.sample.items()})
        expected = predictor.predict(sample).reshape(-1).tolist()
        made[schema.dataset] = Model(predictor, "7", expected, 50, Meters(schema.dataset, "7", schema.classes))
    return made


@pytest.fixture(params=[0, 2**60], ids=["as long", "as short"])
def read_as(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of the two ways to find the shape, whatever the length of the text."""
    monkeypatch.setattr(json_arrays, "SHORT", request.param)


@pytest.mark.usefixtures("read_as")
@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ("[[1,2],[3,4],[5,6]]", (3, 2)),
        ("[ [1.5e3] ,\n[ -0.0 ] ]", (2, 1)),
        ("[[[1,2],[3,4],[5,6]],[[1,2],[3,4],[5,6]]]", (2, 3, 2)),
        ("[[[0]]]", (1, 1, 1)),
    ],
)
def test_a_regular_array_has_its_numbers_and_its_shape(text: str, shape: tuple[int, ...]) -> None:
    values = read_array(text.encode())
    assert values is not None
    assert values.tolist() == json.loads(text)
    assert values.shape == shape


@pytest.mark.usefixtures("read_as")
@pytest.mark.parametrize(
    "text",
    [
        "[]", "[[]]", "[[],[]]", "[[],1]", "[1,2]", "[[[[1]]]]", "[[1,2],[3]]", "[[1],[2,3]]", "[[1,2],3]",
        "[[1],[[2]]]", "[[[1],[2]],[[3]]]", "[[[1,2]],[[1],[2]]]", "[[1],]", "[[1],,[2]]", "[[1,]]", "[[1][2]]",
        "[[1 2]]", "[[1]", "[1]]", "[[true]]", "[[null]]", '[["1"]]', "[[{}]]", "[[01]]", "[[+1]]", "[[1.]]",
        "[[NaN]]", "[[1e400]]", "[[1]]]", "[[1],[2]", "[[18446744073709551616]]", '[["],["],[2]]', "[[1]],[[2]]",
    ],
)  # fmt: skip
@pytest.mark.parametrize("piece", [1, 10_000], ids=["in pieces", "whole"])
def test_anything_else_is_left_to_the_slower_way(monkeypatch: pytest.MonkeyPatch, text: str, piece: int) -> None:
    monkeypatch.setattr(json_arrays, "PIECE", piece)
    assert read_array(text.encode()) is None


@pytest.mark.parametrize(
    "text",
    ["[[0,9,10],[99,100,999]]", "[[[0, 255]], [[16, 7]]]", "[[5]]", "[ [1,  2], [3, 4] ]", "[[[1],[2]],[[3],[4]]]"],
)
def test_small_numbers_are_read_without_simdjson(text: str) -> None:
    values = read_small_numbers(text.encode())
    assert values is not None
    assert values.tolist() == json.loads(text)


@pytest.mark.parametrize(
    "text",
    [
        "[[1000]]", "[[-1]]", "[[1.5]]", "[[1e2]]", "[[1],\n[2]]", "[[01]]", "[[1,2x,3]]", "[[1,2];[3,4]]", "[]1]]",
        "[[1 2,],[3,4]]", "[[1 2,,3]]", "[[1,2],[3,4,]]", "[[1,2]],[3,4]]", "[[[1],[2]],[[3,4]]]",
        "[[1]," + " " * 30 + "[2]]",
    ],
)  # fmt: skip
def test_other_numbers_are_left_to_simdjson(text: str) -> None:
    assert read_small_numbers(text.encode()) is None


def test_small_numbers_are_never_read_from_what_is_no_json() -> None:
    read = 0
    for length in range(6):
        for inner in itertools.product("[], 01", repeat=length):
            text = f"[[{''.join(inner)}]]"
            if (values := read_small_numbers(text.encode())) is not None:
                assert json.loads(text) == values.tolist()
                read += 1
    assert read > 50


@pytest.mark.usefixtures("read_as")
def test_rows_of_too_many_values_are_not_taken_for_fewer() -> None:
    for long in (2**16 + 2, 2**17 + 2):  # commas are counted modulo 65536
        rows = [[1] * 2, [1] * long]
        assert read_array(json.dumps(rows).encode()) is None
        assert read_array(json.dumps(rows[::-1]).encode()) is None


def same(monkeypatch: pytest.MonkeyPatch, model: Model, protocol: str, body: bytes) -> str:
    """The answer or the complaint, which must be the same on all ways."""
    answers = []
    for long, short in ((0, 0), (0, 2**60), (2**60, 0)):
        monkeypatch.setattr(json_body, "LONG", long)
        monkeypatch.setattr(json_arrays, "SHORT", short)
        try:
            answers.append(PROTOCOLS[protocol](model, body, "application/json").body.decode())
        except Problem as problem:
            answers.append(f"{problem.status} {problem.detail} {problem.errors}")
    assert answers[0] == answers[1] == answers[2], body[:500]
    return answers[0]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_catalogue_is_answered_alike(
    monkeypatch: pytest.MonkeyPatch, models: dict[str, Model], protocol: str
) -> None:
    keys = ("instances",) if protocol == "ours" else ("instances", "inputs")
    documents = [{key: [IMAGE, image]} for image in IMAGES.values() for key in keys]
    documents += [{key: [IMAGE] * n} for n in (1, 50, 51) for key in keys]
    documents += [{key: [[0] * 64] * 3} for key in keys]
    for document in documents:
        same(monkeypatch, models["tiles"], protocol, json.dumps(document).encode())
    for row, _, _ in ROWS.values():
        same(monkeypatch, models["tickets"], protocol, json.dumps({"instances": [row, row]}).encode())
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
            same(monkeypatch, models["prices"], protocol, json.dumps({key: value}).encode())
            same(monkeypatch, models["tickets"], protocol, json.dumps({key: value}).encode())
    for body in NOT_JSON.values():
        same(monkeypatch, models["prices"], protocol, body)


ODD_BODIES = [
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


@pytest.mark.parametrize("body", ODD_BODIES)
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_what_stands_around_the_array_is_answered_alike(
    monkeypatch: pytest.MonkeyPatch, models: dict[str, Model], protocol: str, body: str
) -> None:
    same(monkeypatch, models["prices"], protocol, body.encode())


def test_what_nobody_would_send_is_answered_alike(monkeypatch: pytest.MonkeyPatch, models: dict[str, Model]) -> None:
    chance = random.Random(3)
    monkeypatch.setattr(json_arrays, "PIECE", 300)  # so that short arrays come in pieces too
    answered = 0
    for number in range(6000):
        protocol = chance.choice(list(PROTOCOLS))
        if number % 2:
            name, instances = "prices", [[chance.choice([1, 2.5, 0, -3]) for _ in range(3)] for _ in range(40)]
        else:
            name, instances = "tiles", [[[chance.randrange(17) for _ in range(8)] for _ in range(8)] for _ in range(4)]
        document = {chance.choice(["instances", "inputs"]): instances}
        body = json.dumps(mutate(document, chance) if chance.random() < 0.4 else document).encode()
        if chance.random() < 0.5:
            body = garble(body, chance)
        answered += same(monkeypatch, models[name], protocol, body).startswith("{")
    assert 1000 < answered < 5000  # both kinds were tried


def test_the_fast_way_is_taken_and_is_fast() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (500, 28, 28))
    body = json.dumps({"signature_name": "x", "instances": pixels.tolist()}).encode()
    document = json_body.parse_object(body, ("instances",))
    assert isinstance(document["instances"], np.ndarray)
    assert np.array_equal(document["instances"], pixels)
    assert isinstance(json_body.parse_object(body)["instances"], list)  # nobody asked for arrays

    def seconds(read) -> float:  # type: ignore[no-untyped-def]
        times = []
        for _ in range(5):
            started = time.thread_time()
            read()
            times.append(time.thread_time() - started)
        return min(times)

    text = body[body.index(b"[") : -1]
    assert seconds(lambda: read_array(text)) < seconds(lambda: np.array(orjson.loads(text), np.float64)) / 2


def test_a_single_image_takes_the_fast_way_too() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (1, 28, 28))
    body = json.dumps({"instances": pixels.tolist()}).encode()
    document = json_body.parse_object(body, ("instances",))
    assert isinstance(document["instances"], np.ndarray)
    assert np.array_equal(document["instances"], pixels)


def test_memory_does_not_grow_with_the_text() -> None:
    """One parser a thread, of the size of a piece, whatever was read."""
    text = json.dumps(np.zeros((3000, 28, 28), int).tolist()).encode()
    first = read_array(text)
    assert first is not None
    parser = json_arrays._own.parser
    assert read_array(text) is not None
    assert json_arrays._own.parser is parser
    assert max(map(len, json_arrays._pieces(text))) < 2 * json_arrays.PIECE
