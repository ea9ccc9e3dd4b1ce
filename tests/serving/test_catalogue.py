"""The catalogue of bad input, over every protocol: status and body of each."""

import copy
import gzip
import json
from typing import Any

import httpx
import pytest

GOOD = {"age": 22.0, "fare paid": 7.25, "port": "Southampton", "deck": None}
ORDER = list(GOOD)
BOMB = gzip.compress(b" " * (64 * 2**20))
IMAGE = [[0] * 8 for _ in range(8)]
ROUTES = {
    "ours": "/predict",
    "tensorflow": "/v1/models/{m}:predict",
    "inference": "/v2/models/{m}/infer",
    "mlflow": "/invocations",
}


def request(protocol: str, rows: list[Any], columns: tuple[str, ...] | list[str] = tuple(ORDER)) -> dict[str, Any]:
    """Rows of values in the order of `columns`, as a protocol writes them."""
    columns = list(columns)
    records = [dict(zip(columns, row, strict=False)) if isinstance(row, list) else row for row in rows]
    if protocol == "inference":
        tensors = []
        for position, name in enumerate(columns):
            datatype = "BYTES" if name in ("port", "deck") else "FP64"
            data = [row[position] if position < len(row) else 1 for row in rows]
            data = ["" if value is None and datatype == "BYTES" else value for value in data]
            tensors.append({"name": name, "shape": [len(rows), 1], "datatype": datatype, "data": data})
        return {"inputs": tensors}
    if protocol == "mlflow":
        return {"dataframe_split": {"columns": columns, "data": rows}}
    return {"instances": records}


def post(client: httpx.Client, protocol: str, body: Any, model: str = "tickets", **headers: str) -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    route = ROUTES[protocol].format(m=model)
    return client.post(route, content=content, headers={"content-type": "application/json", **headers})


def refused(answer: httpx.Response, status: int, *mentioned: str) -> dict[str, Any]:
    """Check the one error body."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert body.keys() >= {"type", "title", "status", "detail", "instance", "error", "errors"}
    assert body["status"] == status
    assert body["error"] == body["detail"]
    assert all(wrong.keys() == {"path", "expected", "received"} for wrong in body["errors"])
    for text in mentioned:
        assert text in answer.text, answer.text
    assert "Traceback" not in answer.text
    assert "NaN," not in answer.text
    return body


protocols = pytest.mark.parametrize("protocol", ROUTES)

NOT_JSON = {
    "empty": b"",
    "blank": b"  \n",
    "torn": b'{"instances": [{"age": 1',
    "not UTF-8": b'{"instances": ["\xff\xfe"]}',
    "nested deeper than 100": b'{"instances": ' + b"[" * 120 + b"]" * 120 + b"}",
    "nested deeper than any parser": b"[" * 200_000,
    "NaN": b'{"instances": [{"age": NaN}]}',
    "Infinity": b'{"instances": [{"age": -Infinity}]}',
    "a list": b"[1, 2]",
    "a string": b'"instances"',
    "null": b"null",
    "a half of a surrogate pair": b'{"instances": ["\\ud800"]}',
}


@protocols
@pytest.mark.parametrize("body", NOT_JSON.values(), ids=NOT_JSON.keys())
def test_what_is_no_json_object_is_refused(tickets: httpx.Client, protocol: str, body: bytes) -> None:
    refused(post(tickets, protocol, body), 400)


ROWS = {
    "a string for a number": (["22", 7.25, "Southampton", None], 400, "age"),
    "a boolean for a number": ([True, 7.25, "Southampton", None], 400, "age"),
    "a number for a string": ([22, 7.25, 3, None], 400, "port"),
    "an object for a number": ([{"a": 1}, 7.25, "Southampton", None], 400, "age"),
    "a number that overflows float32": ([22, 1e300, "Southampton", None], 400, "fare paid"),
    "a number that overflows float64": ([22, 10**400, "Southampton", None], 400, ""),
    "a negative one": ([-(10.0**39), 7.25, "Southampton", None], 400, "age"),
    "missing where training saw none": ([22, None, "Southampton", None], 400, "fare paid"),
}


@protocols
@pytest.mark.parametrize(("row", "status", "named"), ROWS.values(), ids=ROWS.keys())
def test_a_bad_value_is_refused_with_its_feature(
    tickets: httpx.Client, protocol: str, row: list, status: int, named: str
) -> None:
    good = list(GOOD.values())
    refused(post(tickets, protocol, request(protocol, [good, row, good])), status, named)


@protocols
def test_every_problem_is_in_one_answer(tickets: httpx.Client, protocol: str) -> None:
    bad = ["x", None, 3, 4]
    body = refused(post(tickets, protocol, request(protocol, [bad, bad])), 400)
    assert len(body["errors"]) == 8


def test_the_list_of_problems_is_capped(tickets: httpx.Client) -> None:
    body = refused(post(tickets, "ours", request("ours", [["x", 1, "a", None]] * 500)), 400, "500 problems")
    assert len(body["errors"]) == 20


@protocols
@pytest.mark.parametrize(
    "columns", [ORDER[:3], [*ORDER, "cabin"], [*ORDER[:3], "desk"]], ids=["fewer", "more", "other"]
)
def test_missing_and_unknown_features_are_refused(tickets: httpx.Client, protocol: str, columns: list[str]) -> None:
    row = [*GOOD.values(), 1][: len(columns)]
    refused(post(tickets, protocol, request(protocol, [row], columns)), 400)


@protocols
def test_a_feature_given_twice_is_refused(tickets: httpx.Client, protocol: str) -> None:
    body = request(protocol, [list(GOOD.values())])
    text = json.dumps(body)
    if protocol == "inference":
        body["inputs"].append(body["inputs"][0])
        text = json.dumps(body)
    elif protocol == "mlflow":
        body["dataframe_split"]["columns"][-1:] = ["deck", "deck"]
        body["dataframe_split"]["data"][0].append(None)
        text = json.dumps(body)
    else:
        text = text.replace('"age": 22.0', '"age": 22.0, "age": 23.0')
    refused(post(tickets, protocol, text.encode()), 400)


@protocols
def test_no_rows_are_answered_with_no_predictions(tickets: httpx.Client, protocol: str) -> None:
    answer = post(tickets, protocol, request(protocol, []))
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body.get("predictions", []) == []
    assert all(output["data"] == [] for output in body.get("outputs", []))


@protocols
def test_a_missing_value_that_training_knew_is_imputed(tickets: httpx.Client, protocol: str) -> None:
    with_median = post(tickets, protocol, request(protocol, [[28, 7.25, "Southampton", None]])).json()
    with_null = post(tickets, protocol, request(protocol, [[None, 7.25, "Southampton", None]])).json()
    answers = "outputs" if protocol == "inference" else "predictions"
    assert with_median[answers] == with_null[answers]


@protocols
@pytest.mark.parametrize(
    ("row", "message"),
    [([22, 7.25, "Atlantis", None], "never saw"), ([22, 1e6, "Southampton", None], "far outside")],
    ids=["an unknown category", "far outside"],
)
def test_odd_values_are_answered_with_a_warning(tickets: httpx.Client, protocol: str, row: list, message: str) -> None:
    answer = post(tickets, protocol, request(protocol, [row]))
    assert answer.status_code == 200, answer.text
    assert message in answer.text
    good = post(tickets, protocol, request(protocol, [list(GOOD.values())]))
    assert "warnings" not in good.text


@protocols
def test_too_many_rows_are_refused_with_the_limit(prices: httpx.Client, protocol: str) -> None:
    rows = [[1, 2, 3]] * 10_001
    refused(post(prices, protocol, request(protocol, rows, ["a", "b", "c"]), "prices"), 413, "10000")
    allowed = post(prices, protocol, request(protocol, rows[1:], ["a", "b", "c"]), "prices")
    assert allowed.status_code == 200


@protocols
def test_a_body_past_the_limit_is_refused_with_the_limit(tickets: httpx.Client, protocol: str) -> None:
    refused(post(tickets, protocol, b" " * (16 * 2**20 + 1)), 413, "16777216")


@protocols
def test_chunks_past_the_limit_are_refused(tickets: httpx.Client, protocol: str) -> None:
    def chunks():  # type: ignore[no-untyped-def]
        for _ in range(20):
            yield b" " * 2**20

    try:
        answer = tickets.post(
            ROUTES[protocol].format(m="tickets"), content=chunks(), headers={"content-type": "application/json"}
        )
    except (httpx.WriteError, httpx.ReadError):  # refused while still sending: the connection is closed
        return
    refused(answer, 413)


@protocols
def test_a_compressed_bomb_is_refused(tickets: httpx.Client, protocol: str) -> None:
    refused(post(tickets, protocol, BOMB, **{"content-encoding": "gzip"}), 413)


@protocols
def test_a_compressed_request_is_answered(tickets: httpx.Client, protocol: str) -> None:
    body = gzip.compress(json.dumps(request(protocol, [list(GOOD.values())])).encode())
    assert post(tickets, protocol, body, **{"content-encoding": "gzip"}).status_code == 200
    refused(post(tickets, protocol, body[:-9], **{"content-encoding": "gzip"}), 400)
    refused(post(tickets, protocol, b"{}", **{"content-encoding": "gzip"}), 400)
    refused(post(tickets, protocol, body, **{"content-encoding": "br"}), 415)


@protocols
@pytest.mark.parametrize("kind", ["text/plain", "application/json; charset=utf-16", "application/xml", "nonsense"])
def test_another_content_type_or_charset_is_refused(tickets: httpx.Client, protocol: str, kind: str) -> None:
    refused(post(tickets, protocol, request(protocol, []), **{"content-type": kind}), 415)


@protocols
@pytest.mark.parametrize("verb", ["GET", "PUT", "DELETE", "PATCH"])
def test_a_wrong_verb_is_refused_with_the_right_one(tickets: httpx.Client, protocol: str, verb: str) -> None:
    answer = tickets.request(verb, ROUTES[protocol].format(m="tickets"))
    refused(answer, 405)
    assert answer.headers["allow"] == "POST"


@pytest.mark.parametrize(
    "path",
    [
        "/v1/models/other:predict",
        "/v1/models/tickets/versions/9:predict",
        "/v2/models/other/infer",
        "/v2/models/tickets/versions/9/infer",
    ],
)
def test_an_unknown_model_or_version_is_refused(tickets: httpx.Client, path: str) -> None:
    refused(tickets.post(path, json={"instances": []}), 404, "tickets version 7")
    known = path.replace("other", "tickets").replace("/9", "/7")
    assert tickets.post(known, json={}).status_code == 400


@pytest.mark.parametrize("body", [{}, {"instances": [], "inputs": {}}], ids=["neither", "both"])
@pytest.mark.parametrize("protocol", ["tensorflow", "mlflow"])
def test_exactly_one_of_instances_and_inputs(tickets: httpx.Client, protocol: str, body: dict) -> None:
    refused(post(tickets, protocol, body), 400, "exactly one")


TENSOR = {"name": "image", "shape": [1, 8, 8], "datatype": "FP32", "data": [0] * 64}
TENSORS = {
    "no name": {"name": None},
    "fewer values than the shape": {"data": [0] * 63},
    "a negative dimension": {"shape": [-1, 8, 8]},
    "an overflowing dimension": {"shape": [2**40, 8, 8]},
    "an overflowing product": {"shape": [2**20, 2**20, 8]},
    "a fraction for a dimension": {"shape": [1.5, 8, 8]},
    "another shape": {"shape": [8, 8, 1]},
    "no shape": {"shape": []},
    "an unknown datatype": {"datatype": "FP128"},
    "a datatype that is none": {"datatype": 4},
    "strings": {"data": ["0"] * 64},
    "booleans": {"data": [True] * 64},
    "ragged": {"data": [[0] * 8] * 7 + [[0] * 7]},
    "no list": {"data": 5},
    "outside of the pixels' range": {"data": [17] * 64},
    "bytes that are not there": {"data": None, "parameters": {"binary_data_size": 256}},
    "too large for its datatype": {"datatype": "INT8", "data": [300] * 64},
    "no whole numbers": {"datatype": "INT8", "data": [0.5] * 64},
}


@pytest.mark.parametrize("change", TENSORS.values(), ids=TENSORS.keys())
def test_a_tensor_that_does_not_fit_is_refused(tiles: httpx.Client, change: dict) -> None:
    tensor = {key: value for key, value in (copy.deepcopy(TENSOR) | change).items() if value is not None}
    refused(post(tiles, "inference", {"inputs": [tensor]}, "tiles"), 400)
    assert post(tiles, "inference", {"inputs": [TENSOR]}, "tiles").status_code == 200


IMAGES = {
    "a row too short": [*IMAGE[:7], [0] * 7],
    "a row too few": IMAGE[:7],
    "a string for a pixel": [*IMAGE[:7], ["0"] * 8],
    "a boolean for a pixel": [*IMAGE[:7], [True] * 8],
    "null for a pixel": [*IMAGE[:7], [None] * 8],
    "a pixel below the range": [*IMAGE[:7], [-1] * 8],
    "a pixel above the range": [*IMAGE[:7], [17] * 8],
    "a number": 5,
    "nothing": [],
    "no base64": "%%%",
    "base64 of no picture": {"b64": "aGVsbG8="},
    "an object": {"picture": IMAGE},
}


def test_every_wrong_value_of_every_tensor_is_named(tickets: httpx.Client) -> None:
    document = request("inference", [[22, 7.25, "Southampton", None]] * 3)
    by_name = {tensor["name"]: tensor for tensor in document["inputs"]}
    by_name["age"]["data"] = [22, "22", True]
    by_name["fare paid"]["data"] = [0, None, 7.25]
    by_name["port"]["data"] = ["Southampton", "", 3]
    body = refused(post(tickets, "inference", document), 400, "5 problems")
    assert [wrong["path"] for wrong in body["errors"]] == [
        "inputs['age'][1]", "inputs['age'][2]", "inputs['port'][2]", "inputs['fare paid'][1]", "inputs['port'][1]",
    ]  # fmt: skip


@pytest.mark.parametrize("image", IMAGES.values(), ids=IMAGES.keys())
@pytest.mark.parametrize("protocol", ["ours", "tensorflow", "mlflow"])
def test_a_bad_image_is_refused_with_its_place(tiles: httpx.Client, protocol: str, image: Any) -> None:
    refused(post(tiles, protocol, {"instances": [IMAGE, image]}, "tiles"), 400, "$.instances[1]")
    assert post(tiles, protocol, {"instances": [IMAGE, IMAGE]}, "tiles").status_code == 200


CSV = "age,fare paid,port,deck\n22,7.25,Southampton,\n"
CSVS = {
    "empty": "",
    "a column too few": "age,fare paid,port\n22,7.25,Southampton\n",
    "a column twice": "age,age,fare paid,port,deck\n22,22,7.25,Southampton,\n",
    "an unknown column": "age,fare paid,port,deck,cabin\n22,7.25,Southampton,,1\n",
    "a ragged row": CSV + "1,2,3\n",
    "an unclosed quote": CSV + '22,7.25,"Southampton,\n',
    "text for a number": CSV + "old,7.25,Southampton,\n",
    "an underscore in a number": CSV + "2_2,7.25,Southampton,\n",
    "inf": CSV + "inf,7.25,Southampton,\n",
    "missing where training saw none": CSV + "22,,Southampton,\n",
    "semicolons": CSV.replace(",", ";"),
}


@pytest.mark.parametrize("text", CSVS.values(), ids=CSVS.keys())
@pytest.mark.parametrize("route", ["/predict", "/invocations"])
def test_a_bad_csv_is_refused(tickets: httpx.Client, route: str, text: str) -> None:
    refused(tickets.post(route, content=text, headers={"content-type": "text/csv"}), 400)
    good = tickets.post(route, content="\ufeff" + CSV, headers={"content-type": "text/csv; charset=utf-8"})
    assert good.status_code == 200, good.text
    assert len(good.json()["predictions"]) == 1


@pytest.mark.parametrize("path", ["/nothing", "/v1", "/predict/", "/../etc/passwd", "/static_content/../../guard.py"])
def test_an_unknown_path_is_not_found(tickets: httpx.Client, path: str) -> None:
    refused(tickets.get(path), 404)
