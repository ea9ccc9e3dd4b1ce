"""Bad input in forms that only some protocols have: tensors, images, CSV."""

import copy
from typing import Any

import httpx
import pytest
from request_bodies import IMAGE, assert_problem, post, request_body

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
    assert_problem(post(tiles, "inference", {"inputs": [tensor]}, "tiles"), 400)
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


def test_every_invalid_value_of_every_tensor_is_named(tickets: httpx.Client) -> None:
    document = request_body("inference", [[22, 7.25, "Southampton", None]] * 3)
    by_name = {tensor["name"]: tensor for tensor in document["inputs"]}
    by_name["age"]["data"] = [22, "22", True]
    by_name["fare paid"]["data"] = [0, None, 7.25]
    by_name["port"]["data"] = ["Southampton", "", 3]
    body = assert_problem(post(tickets, "inference", document), 400, "5 problems")
    assert [error["path"] for error in body["errors"]] == [
        "inputs['age'][1]", "inputs['age'][2]", "inputs['port'][2]", "inputs['fare paid'][1]", "inputs['port'][1]",
    ]  # fmt: skip


@pytest.mark.parametrize("image", IMAGES.values(), ids=IMAGES.keys())
@pytest.mark.parametrize("protocol", ["predict", "tensorflow", "mlflow"])
def test_a_bad_image_is_refused_with_its_place(tiles: httpx.Client, protocol: str, image: Any) -> None:
    assert_problem(post(tiles, protocol, {"instances": [IMAGE, image]}, "tiles"), 400, "$.instances[1]")
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
    assert_problem(tickets.post(route, content=text, headers={"content-type": "text/csv"}), 400)
    good = tickets.post(route, content="\ufeff" + CSV, headers={"content-type": "text/csv; charset=utf-8"})
    assert good.status_code == 200, good.text
    assert len(good.json()["predictions"]) == 1


@pytest.mark.parametrize("route", ["/predict", "/invocations"])
@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
def test_a_csv_of_empty_lines_is_refused_before_it_is_read(tickets: httpx.Client, route: str, end: str) -> None:
    csv = {"content-type": "text/csv"}
    problem = assert_problem(tickets.post(route, content=CSV + end * 200_001, headers=csv), 413)
    assert problem["detail"].startswith("expected at most 200000 line ends in a CSV, received ")
    assert tickets.post(route, content=CSV + end * 1000, headers=csv).status_code == 200


@pytest.mark.parametrize("length", ["", " ", "-1", "1e3", "\xb2", "9" * 5000])
def test_a_length_of_json_that_is_none_is_refused(tiles: httpx.Client, length: str) -> None:
    head = [(b"content-type", b"application/json"), (b"inference-header-content-length", length.encode("latin-1"))]
    answer = tiles.post("/v2/models/tiles/infer", content=b'{"inputs": []}', headers=head)
    assert_problem(answer, 400, "Inference-Header-Content-Length: expected a length within the body, received another")
