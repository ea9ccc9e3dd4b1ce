"""A request as each protocol writes it, and what every refusal looks like."""

import json
from typing import Any

import httpx

GOOD = {"age": 22.0, "fare paid": 7.25, "port": "Southampton", "deck": None}
ORDER = list(GOOD)
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
