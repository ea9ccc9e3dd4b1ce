"""Bad input over every protocol: status and body of each response."""

import gzip
import json

import httpx
import pytest
from request_bodies import GOOD, NAMES, ROUTES, assert_problem, post, request_body

BOMB = gzip.compress(b" " * (64 * 2**20))
protocols = pytest.mark.parametrize("protocol", ROUTES)

NOT_JSON = {
    "empty": b"",
    "blank": b"  \n",
    "torn": b'{"instances": [{"age": 1',
    "not UTF-8": b'{"instances": ["\xff\xfe"]}',
    "nested deeper than 100": b'{"instances": ' + b"[" * 120 + b"]" * 120 + b"}",
    "nested deeper than any parser": b"[" * 200_000,
    "nested as deep, and closed": b'{"instances": ' + b"[" * 200_000 + b"]" * 200_000 + b"}",
    "too deep for the search of repeated names": b'{"a": "x", "instances": ' + b"[" * 1010 + b"]" * 1010 + b"}",
    "NaN": b'{"instances": [{"age": NaN}]}',
    "Infinity": b'{"instances": [{"age": -Infinity}]}',
    "a list": b"[1, 2]",
    "a string": b'"instances"',
    "null": b"null",
    "a half of a surrogate pair": b'{"instances": ["\\ud800"]}',
}


@protocols
@pytest.mark.parametrize("body", NOT_JSON.values(), ids=NOT_JSON.keys())
def test_a_body_that_is_not_a_json_object_is_refused(tickets: httpx.Client, protocol: str, body: bytes) -> None:
    assert_problem(post(tickets, protocol, body), 400)


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
def test_an_invalid_value_is_refused_with_its_feature(
    tickets: httpx.Client, protocol: str, row: list, status: int, named: str
) -> None:
    good = list(GOOD.values())
    assert_problem(post(tickets, protocol, request_body(protocol, [good, row, good])), status, named)


@protocols
def test_one_response_has_all_errors(tickets: httpx.Client, protocol: str) -> None:
    bad = ["x", None, 3, 4]
    body = assert_problem(post(tickets, protocol, request_body(protocol, [bad, bad])), 400)
    assert len(body["errors"]) == 8


def test_the_list_of_errors_is_capped(tickets: httpx.Client) -> None:
    body = assert_problem(
        post(tickets, "predict", request_body("predict", [["x", 1, "a", None]] * 500)), 400, "500 problems"
    )
    assert len(body["errors"]) == 20


@protocols
@pytest.mark.parametrize(
    "columns", [NAMES[:3], [*NAMES, "cabin"], [*NAMES[:3], "desk"]], ids=["fewer", "more", "other"]
)
def test_missing_and_unknown_features_are_refused(tickets: httpx.Client, protocol: str, columns: list[str]) -> None:
    row = [*GOOD.values(), 1][: len(columns)]
    assert_problem(post(tickets, protocol, request_body(protocol, [row], columns)), 400)


@protocols
def test_a_feature_given_twice_is_refused(tickets: httpx.Client, protocol: str) -> None:
    body = request_body(protocol, [list(GOOD.values())])
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
    assert_problem(post(tickets, protocol, text.encode()), 400)


@protocols
def test_no_rows_give_no_predictions(tickets: httpx.Client, protocol: str) -> None:
    answer = post(tickets, protocol, request_body(protocol, []))
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body.get("predictions", []) == []
    assert all(output["data"] == [] for output in body.get("outputs", []))


@protocols
def test_a_missing_value_is_imputed_where_training_had_some(tickets: httpx.Client, protocol: str) -> None:
    with_median = post(tickets, protocol, request_body(protocol, [[28, 7.25, "Southampton", None]])).json()
    with_null = post(tickets, protocol, request_body(protocol, [[None, 7.25, "Southampton", None]])).json()
    answers = "outputs" if protocol == "inference" else "predictions"
    assert with_median[answers] == with_null[answers]


@protocols
@pytest.mark.parametrize(
    ("row", "message"),
    [([22, 7.25, "Atlantis", None], "never saw"), ([22, 1e6, "Southampton", None], "far outside")],
    ids=["an unknown category", "far outside"],
)
def test_unusual_values_get_a_prediction_and_a_warning(
    tickets: httpx.Client, protocol: str, row: list, message: str
) -> None:
    answer = post(tickets, protocol, request_body(protocol, [row]))
    assert answer.status_code == 200, answer.text
    assert message in answer.text
    good = post(tickets, protocol, request_body(protocol, [list(GOOD.values())]))
    assert "warnings" not in good.text


@protocols
def test_too_many_rows_are_refused_with_the_limit(prices: httpx.Client, protocol: str) -> None:
    rows = [[1, 2, 3]] * 10_001
    assert_problem(post(prices, protocol, request_body(protocol, rows, ["a", "b", "c"]), "prices"), 413, "10000")
    allowed = post(prices, protocol, request_body(protocol, rows[1:], ["a", "b", "c"]), "prices")
    assert allowed.status_code == 200


@protocols
def test_millions_of_empty_rows_are_refused_before_parsing(tickets: httpx.Client, protocol: str) -> None:
    many = b'{"instances": [%b[]]}' % (b"[]," * 10**6)
    assert_problem(post(tickets, protocol, many), 413, "lists and objects")


@protocols
def test_a_body_over_the_limit_is_refused_with_the_limit(tickets: httpx.Client, protocol: str) -> None:
    assert_problem(post(tickets, protocol, b" " * (16 * 2**20 + 1)), 413, "16777216")


@protocols
def test_a_compressed_bomb_is_refused(tickets: httpx.Client, protocol: str) -> None:
    assert_problem(post(tickets, protocol, BOMB, **{"content-encoding": "gzip"}), 413)


@protocols
def test_a_compressed_request_gets_a_prediction(tickets: httpx.Client, protocol: str) -> None:
    body = gzip.compress(json.dumps(request_body(protocol, [list(GOOD.values())])).encode())
    assert post(tickets, protocol, body, **{"content-encoding": "gzip"}).status_code == 200
    assert_problem(post(tickets, protocol, body[:-9], **{"content-encoding": "gzip"}), 400)
    assert_problem(post(tickets, protocol, b"{}", **{"content-encoding": "gzip"}), 400)
    assert_problem(post(tickets, protocol, body, **{"content-encoding": "br"}), 415)


@protocols
@pytest.mark.parametrize("kind", ["text/plain", "application/json; charset=utf-16", "application/xml", "nonsense"])
def test_an_unknown_content_type_or_charset_is_refused(tickets: httpx.Client, protocol: str, kind: str) -> None:
    assert_problem(post(tickets, protocol, request_body(protocol, []), **{"content-type": kind}), 415)


@protocols
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
def test_a_wrong_method_is_refused_with_the_right_one(tickets: httpx.Client, protocol: str, method: str) -> None:
    answer = tickets.request(method, ROUTES[protocol].format(m="tickets"))
    assert_problem(answer, 405)
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
    assert_problem(tickets.post(path, json={"instances": []}), 404, "tickets version 7")
    known = path.replace("other", "tickets").replace("/9", "/7")
    assert tickets.post(known, json={}).status_code == 400


@pytest.mark.parametrize("body", [{}, {"instances": [], "inputs": {}}], ids=["neither", "both"])
@pytest.mark.parametrize("protocol", ["tensorflow", "mlflow"])
def test_exactly_one_of_instances_and_inputs(tickets: httpx.Client, protocol: str, body: dict) -> None:
    assert_problem(post(tickets, protocol, body), 400, "exactly one")


@pytest.mark.parametrize("path", ["/nothing", "/v1", "/predict/", "/../etc/passwd", "/static_content/../../limits.py"])
def test_an_unknown_path_is_not_found(tickets: httpx.Client, path: str) -> None:
    assert_problem(tickets.get(path), 404)
