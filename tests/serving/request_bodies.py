"""A request as each protocol writes it, and the error body that all of them share."""

import json
from typing import Any

import httpx

GOOD = {"age": 22.0, "fare paid": 7.25, "port": "Southampton", "deck": None}
NAMES = list(GOOD)
IMAGE = [[0] * 8 for _ in range(8)]
ROUTES = {
    "predict": "/predict",
    "tensorflow": "/v1/models/{m}:predict",
    "inference": "/v2/models/{m}/infer",
    "mlflow": "/invocations",
}


def request_body(protocol: str, rows: list[Any], columns: tuple[str, ...] | list[str] = tuple(NAMES)) -> dict[str, Any]:
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


def assert_problem(response: httpx.Response, status: int, *texts: str) -> dict[str, Any]:
    """Check the error body, and that it has these texts; return it."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body = response.json()
    assert body.keys() >= {"type", "title", "status", "detail", "instance", "error", "errors"}
    assert body["status"] == status
    assert body["error"] == body["detail"]
    assert all(error.keys() == {"path", "expected", "received"} for error in body["errors"])
    for text in texts:
        assert text in response.text, response.text
    assert "Traceback" not in response.text
    assert "NaN," not in response.text
    return body
