"""Limits, keys, headers and metrics of the application."""

import io
import re
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from apps import LiveApp, client_of, listen, make_model, make_test_app
from bento_servers import wait_until
from bundles import TICKETS, TILES
from PIL import Image
from request_bodies import GOOD, IMAGE, ROUTES, assert_problem

from serving.settings import Settings, SettingsError, read_settings

BODY = {"instances": [GOOD]}
JSON = {"content-type": "application/json"}
LIMITS = Settings(max_body_bytes=60_000, timeout=1, max_concurrency=2, keys=(b"one", b"two"))


@pytest.fixture(scope="module")
def limited(bundles: Path) -> Iterator[LiveApp]:
    """A service with keys and tight limits, on a port."""
    with listen(make_test_app(make_model(TICKETS, bundles / "tickets", max_rows=5), LIMITS), timeout=1) as live:
        yield live


def test_settings_come_from_the_environment_and_a_file(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("of-a-file\n\n")
    environ = {
        "SERVING_API_KEYS": "one, two", "SERVING_API_KEYS_FILE": str(tmp_path / "keys"), "SERVING_MAX_ROWS": "5",
        "SERVING_MAX_BODY_BYTES": "60000", "SERVING_TIMEOUT": "0.5", "SERVING_MAX_CONCURRENCY": "2",
        "SERVING_DRAIN_SECONDS": "3",
    }  # fmt: skip
    assert read_settings(environ) == Settings(60_000, 5, 0.5, 2, 3, (b"one", b"two", b"of-a-file"))
    assert read_settings({}) == Settings()


def test_all_invalid_settings_are_named_at_once(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("\n")
    environ = {
        "SERVING_MAX_ROWS": "many", "SERVING_TIMEOUT": "-1", "SERVING_API_KEYS_FILE": str(tmp_path / "keys"),
    }  # fmt: skip
    with pytest.raises(SettingsError) as raised:
        read_settings(environ)
    assert all(name in str(raised.value) for name in environ)


def test_without_a_key_only_probes_and_the_page_are_open(limited: LiveApp) -> None:
    for path in ("/livez", "/readyz", "/", "/page.js"):
        assert httpx.get(limited.url + path).status_code == 200
    for path in ("/info", "/metrics", "/v2", "/docs", "/openapi.json", "/nothing"):
        response = httpx.get(limited.url + path)
        assert_problem(response, 401)
        assert response.headers["www-authenticate"] == "Bearer"
    for path in ("/predict", "/invocations", "/v1/models/tickets:predict", "/v2/models/tickets/infer"):
        assert_problem(httpx.post(limited.url + path, json=BODY), 401)
        assert_problem(httpx.post(limited.url + path, json=BODY, headers={"authorization": "Bearer on"}), 403)


@pytest.mark.parametrize("key", ["one", "two"])
def test_each_key_works_in_both_headers(limited: LiveApp, key: str) -> None:
    for headers in ({"authorization": f"Bearer {key}"}, {"x-api-key": key}):
        assert httpx.post(f"{limited.url}/predict", json=BODY, headers=headers).status_code == 200


def test_rows_and_bodies_over_the_limits_are_refused(limited: LiveApp) -> None:
    with httpx.Client(base_url=limited.url, headers={"x-api-key": "one"}) as client:
        assert_problem(client.post("/predict", json={"instances": [GOOD] * 6}), 413, "5 rows")
        assert_problem(client.post("/predict", content=b" " * 60_001, headers=JSON), 413, "60000")
        assert client.post("/predict", json={"instances": [GOOD] * 5}).status_code == 200


@pytest.mark.parametrize("protocol", ROUTES)
def test_chunks_over_the_limit_are_refused(limited: LiveApp, protocol: str) -> None:
    def chunks():  # type: ignore[no-untyped-def]
        for _ in range(20):
            yield b" " * 2**16

    url = limited.url + ROUTES[protocol].format(m="tickets")
    try:
        response = httpx.post(url, content=chunks(), headers=JSON | {"x-api-key": "one"})
    except (httpx.WriteError, httpx.ReadError):  # refused while still sending: the connection is closed
        return
    assert_problem(response, 413)


def slow_sender(live: LiveApp) -> socket.socket:
    """A connection whose request never gets its whole body."""
    connection = socket.create_connection(("127.0.0.1", live.port), timeout=20)
    headers = "Host: x\r\nX-API-Key: one\r\nContent-Type: application/json\r\nContent-Length: 50"
    connection.sendall(f"POST /predict HTTP/1.1\r\n{headers}\r\n\r\n{{".encode())
    return connection


def test_too_many_requests_at_once_get_429_and_slow_bodies_408(limited: LiveApp) -> None:
    slow = [slow_sender(limited) for _ in range(2)]
    time.sleep(0.2)
    response = httpx.post(f"{limited.url}/predict", json=BODY, headers={"x-api-key": "one"})
    assert_problem(response, 429)
    assert response.headers["retry-after"] == "1"
    assert httpx.get(f"{limited.url}/livez").status_code == 200
    for connection in slow:
        received = b""
        while part := connection.recv(65536):  # until the service closes the connection
            received += part
        assert b" 408 " in received
        connection.close()
    assert httpx.post(f"{limited.url}/predict", json=BODY, headers={"x-api-key": "one"}).status_code == 200


def seconds_until_closed(port: int, head: bytes, more: bytes, pause: float) -> float:
    """How long a service reads a request whose head never ends."""
    started = time.monotonic()
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        try:
            connection.sendall(head)
            while time.monotonic() < started + 20:
                connection.sendall(more)
                time.sleep(pause)
        except ConnectionError:
            pass
    return time.monotonic() - started


def test_an_endless_head_is_cut_off_and_the_next_request_answered(limited: LiveApp, live: dict[str, LiveApp]) -> None:
    head = b"POST /predict HTTP/1.1\r\nHost: x\r\n"
    assert 0.5 < seconds_until_closed(limited.port, head, b"x: slow\r\n", 0.05) < 10  # by time, 1 second
    assert seconds_until_closed(live["tickets"].port, head, b"x: fast\r\n" * 1000, 0) < 10  # by size, not 30 seconds
    assert httpx.get(f"{limited.url}/livez").status_code == 200


def test_a_slow_prediction_gets_504_and_other_requests_do_not_wait(bundles: Path) -> None:
    picture = io.BytesIO()
    Image.new("1", (4096, 4096)).save(picture, "PNG")  # a tenth of a second of work in 2 KB
    files = [("file", ("picture.png", picture.getvalue(), "image/png"))] * 300
    app = make_test_app(make_model(TILES, bundles / "tiles"), Settings(timeout=0.3))
    with listen(app) as live, ThreadPoolExecutor(2) as threads:
        slow = [threads.submit(httpx.post, f"{live.url}/predict", files=files, timeout=30) for _ in range(2)]
        time.sleep(0.1)
        assert httpx.get(f"{live.url}/livez", timeout=1).status_code == 200
        for response in slow:
            assert_problem(response.result(), 504, "0.3 seconds")
        assert httpx.post(f"{live.url}/predict", json={"instances": [IMAGE]}).status_code == 200
        large = {"instances": [IMAGE] * 500}  # needs one of the two threads
        wait_until(lambda: httpx.post(f"{live.url}/predict", json=large).status_code == 200, 8)


def test_clients_that_disconnect_do_no_harm(limited: LiveApp, capfd: pytest.CaptureFixture[str]) -> None:
    for _ in range(50):
        slow_sender(limited).close()
    wait_until(
        lambda: httpx.post(f"{limited.url}/predict", json=BODY, headers={"x-api-key": "one"}).status_code == 200, 5
    )
    assert "Traceback" not in capfd.readouterr().err


def test_a_model_that_fails_its_sample_is_not_ready(bundles: Path) -> None:
    with client_of(make_test_app(make_model(TICKETS, bundles / "tickets", error=0.01))) as client:
        assert client.get("/livez").status_code == 200
        for path in ("/readyz", "/ping", "/v2/health/ready", "/v2/models/tickets/ready"):
            assert_problem(client.get(path), 503, "sample")
        response = client.post("/predict", json=BODY)
        assert_problem(response, 503)
        assert int(response.headers["retry-after"]) > 0


def test_every_response_has_the_security_headers_and_an_id(tickets: httpx.Client) -> None:
    for response in (tickets.get("/"), tickets.get("/nothing"), tickets.post("/predict", json=BODY)):
        assert response.headers["x-content-type-options"] == "nosniff"
        assert response.headers["cache-control"] == "no-store"
        assert response.headers["x-request-id"]
        assert "server" not in response.headers
    page = tickets.get("/").headers
    assert "default-src 'none'" in page["content-security-policy"]
    assert page["x-frame-options"] == "DENY"
    assert tickets.get("/livez", headers={"x-request-id": "abc-1"}).headers["x-request-id"] == "abc-1"
    assert tickets.get("/livez", headers={"x-request-id": "a b"}).headers["x-request-id"] != "a b"


def test_metrics_count_requests_rows_classes_and_warnings(tickets: httpx.Client) -> None:
    def value(text: str, name: str) -> float:
        return sum(float(number) for number in re.findall(rf"^{re.escape(name)}(?:{{[^}}]*}})? (\S+)$", text, re.M))

    tickets.post("/predict", json=BODY)  # so that every counter exists
    before = tickets.get("/metrics").text
    rows = [GOOD, *[GOOD | {"port": "Atlantis"}] * 30]
    answer = tickets.post("/predict", json={"instances": rows}).json()
    assert [warning["message"] for warning in answer["warnings"]][20:] == ["10 more warnings"]
    label = answer["predictions"][0]["label"]
    after = tickets.get("/metrics").text
    assert value(after, "serving_rows_total") - value(before, "serving_rows_total") == 31
    assert value(after, "serving_predictions_total") - value(before, "serving_predictions_total") == 31
    assert f'serving_predictions_total{{label="{label}"}}' in after
    unknown = 'serving_warnings_total{kind="unknown_category"} '
    assert float(after.split(unknown)[1].split()[0]) - float(before.split(unknown)[1].split()[0]) == 30
    assert 'serving_model_info{name="tickets",version="7"} 1.0' in after
    assert 'serving_requests_total{route="/predict",status="200"}' in after
    assert 'serving_latency_seconds_bucket{le="0.005",route="/predict"}' in after
