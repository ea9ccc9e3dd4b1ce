"""Limits, keys, headers, metrics and logs, of Bentos started with their own settings."""

import io
import json
import re
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from asking import GOOD, IMAGE, refused
from PIL import Image
from servers import Server, is_up, launch, stop, wait_until

BODY = {"instances": [GOOD]}


@pytest.fixture(scope="module")
def strict(home: Path) -> Iterator[Server]:
    """A service with keys and tight limits."""
    (home / "keys").write_text("of-a-file\n\n")
    server = launch(
        home, "tickets:latest",
        SERVING_API_KEYS="one, two", SERVING_API_KEYS_FILE=str(home / "keys"), SERVING_MAX_ROWS="5",
        SERVING_MAX_BODY_BYTES="60000", SERVING_TIMEOUT="1", SERVING_MAX_CONCURRENCY="2",
    )  # fmt: skip
    wait_until(lambda: is_up(server))
    yield server
    stop(server)


def test_without_a_key_only_probes_and_the_page_are_open(strict: Server) -> None:
    for path in ("/livez", "/readyz", "/", "/page.js"):
        assert httpx.get(strict.url + path).status_code == 200
    for path in ("/info", "/metrics", "/v2", "/docs", "/openapi.json", "/nothing"):
        answer = httpx.get(strict.url + path)
        refused(answer, 401)
        assert answer.headers["www-authenticate"] == "Bearer"
    for path in ("/predict", "/invocations", "/v1/models/tickets:predict", "/v2/models/tickets/infer"):
        refused(httpx.post(strict.url + path, json=BODY), 401)
        refused(httpx.post(strict.url + path, json=BODY, headers={"authorization": "Bearer on"}), 403)


@pytest.mark.parametrize("key", ["one", "two", "of-a-file"])
def test_any_of_the_keys_will_do(strict: Server, key: str) -> None:
    assert httpx.post(f"{strict.url}/predict", json=BODY, headers={"authorization": f"Bearer {key}"}).status_code == 200
    assert httpx.post(f"{strict.url}/predict", json=BODY, headers={"x-api-key": key}).status_code == 200


def test_limits_are_those_of_the_environment(strict: Server) -> None:
    with httpx.Client(base_url=strict.url, headers={"x-api-key": "one"}) as client:
        refused(client.post("/predict", json={"instances": [GOOD] * 6}), 413, "5 rows")
        refused(
            client.post("/predict", content=b" " * 60_001, headers={"content-type": "application/json"}), 413, "60000"
        )
        assert client.post("/predict", json={"instances": [GOOD] * 5}).status_code == 200


def slow_sender(server: Server) -> socket.socket:
    """A request whose body does not come."""
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=20)
    headers = "Host: x\r\nX-API-Key: one\r\nContent-Type: application/json\r\nContent-Length: 50"
    connection.sendall(f"POST /predict HTTP/1.1\r\n{headers}\r\n\r\n{{".encode())
    return connection


def test_too_many_requests_at_once_are_told_to_come_back_and_slow_senders_are_dropped(strict: Server) -> None:
    slow = [slow_sender(strict) for _ in range(2)]
    time.sleep(0.2)
    answer = httpx.post(f"{strict.url}/predict", json=BODY, headers={"x-api-key": "one"})
    refused(answer, 429)
    assert answer.headers["retry-after"] == "1"
    assert httpx.get(f"{strict.url}/livez").status_code == 200
    for connection in slow:
        received = b""
        while part := connection.recv(65536):  # until the service closes the connection
            received += part
        assert b" 408 " in received
        connection.close()
    assert httpx.post(f"{strict.url}/predict", json=BODY, headers={"x-api-key": "one"}).status_code == 200


def seconds_until_closed(server: Server, head: bytes, more: bytes, pause: float) -> float:
    """How long a service listens to a request whose head never ends."""
    started = time.monotonic()
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        try:
            connection.sendall(head)
            while time.monotonic() < started + 20:
                connection.sendall(more)
                time.sleep(pause)
        except ConnectionError:
            pass
    return time.monotonic() - started


def test_a_head_that_never_ends_is_dropped_and_the_next_request_served(
    strict: Server, servers: dict[str, Server]
) -> None:
    head = b"POST /predict HTTP/1.1\r\nHost: x\r\n"
    assert 0.5 < seconds_until_closed(strict, head, b"x: dribbling\r\n", 0.05) < 10
    assert seconds_until_closed(servers["tickets"], head, b"x: gushing\r\n" * 1000, 0) < 10  # of 30 that it would have
    assert httpx.get(f"{strict.url}/livez").status_code == 200


def test_a_request_that_takes_too_long_is_answered_504_and_keeps_no_others_waiting(home: Path) -> None:
    picture = io.BytesIO()
    Image.new("1", (4096, 4096)).save(picture, "PNG")  # a tenth of a second of work in 2 KB
    files = [("file", ("picture.png", picture.getvalue(), "image/png"))] * 300
    server = launch(home, "tiles:latest", SERVING_TIMEOUT="0.3")
    try:
        wait_until(lambda: is_up(server))
        with ThreadPoolExecutor(2) as threads:
            slow = [threads.submit(httpx.post, f"{server.url}/predict", files=files, timeout=30) for _ in range(2)]
            time.sleep(0.1)
            assert httpx.get(f"{server.url}/livez", timeout=1).status_code == 200
            for answer in slow:
                refused(answer.result(), 504, "0.3 seconds")
        assert httpx.post(f"{server.url}/predict", json={"instances": [IMAGE]}).status_code == 200
        large = {"instances": [IMAGE] * 500}
        wait_until(lambda: httpx.post(f"{server.url}/predict", json=large).status_code == 200, 8)
    finally:
        stop(server)


def test_clients_that_vanish_do_no_harm(strict: Server) -> None:
    for _ in range(50):
        slow_sender(strict).close()
    wait_until(
        lambda: httpx.post(f"{strict.url}/predict", json=BODY, headers={"x-api-key": "one"}).status_code == 200, 5
    )
    assert "Traceback" not in strict.text()


def test_every_answer_has_the_security_headers_and_an_id(tickets: httpx.Client) -> None:
    for answer in (tickets.get("/"), tickets.get("/nothing"), tickets.post("/predict", json=BODY)):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-request-id"]
        assert "server" not in answer.headers
    page = tickets.get("/").headers
    assert "default-src 'none'" in page["content-security-policy"]
    assert page["x-frame-options"] == "DENY"
    assert tickets.get("/livez", headers={"x-request-id": "abc-1"}).headers["x-request-id"] == "abc-1"
    assert tickets.get("/livez", headers={"x-request-id": "a b"}).headers["x-request-id"] != "a b"


def test_metrics_count_requests_rows_classes_and_warnings(tickets: httpx.Client) -> None:
    def value(text: str, name: str) -> float:
        return sum(float(number) for number in re.findall(rf"^{re.escape(name)}(?:{{[^}}]*}})? (\S+)$", text, re.M))

    before = tickets.get("/metrics").text
    label = tickets.post("/predict", json={"instances": [GOOD, GOOD | {"port": "Atlantis"}]}).json()["predictions"][0][
        "label"
    ]
    after = tickets.get("/metrics").text
    assert value(after, "serving_rows_total") - value(before, "serving_rows_total") == 2
    assert value(after, "serving_predictions_total") - value(before, "serving_predictions_total") == 2
    assert f'serving_predictions_total{{label="{label}"}}' in after
    unknown = 'serving_warnings_total{kind="unknown_category"} '
    assert float(after.split(unknown)[1].split()[0]) - float(before.split(unknown)[1].split()[0]) == 1
    assert 'serving_model_info{name="tickets",version="7"} 1.0' in after
    assert 'serving_requests_total{route="/predict",status="200"}' in after
    assert 'serving_latency_seconds_bucket{le="0.005",route="/predict"}' in after


def test_the_log_has_a_line_a_request_and_no_payload(tickets: httpx.Client, servers: dict[str, Server]) -> None:
    secret = "Brigadoon-3141"
    tickets.post("/predict", json={"instances": [GOOD | {"port": secret}]}, headers={"x-request-id": "find-me"})
    wait_until(lambda: "find-me" in servers["tickets"].text(), 5)
    line = next(line for line in servers["tickets"].text().splitlines() if "find-me" in line)
    entry = json.loads(line)
    assert (entry["method"], entry["path"], entry["status"]) == ("POST", "/predict", 200)
    assert entry["ms"] > 0
    assert secret not in servers["tickets"].text()
