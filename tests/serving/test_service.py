"""The packaged Bento, started by `bentoml serve`: settings, address, log, damaged files, signals."""

import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest
from bento_servers import BentoServer, is_up, launch, stop, wait_until
from request_bodies import GOOD, assert_problem

BODY = {"instances": [GOOD]}


@pytest.fixture(scope="module")
def configured(home: Path) -> Iterator[BentoServer]:
    """The Bento as a container starts it, with every setting."""
    (home / "keys").write_text("of-a-file\n\n")
    started = launch(
        home, "tickets:latest", BENTOML_CONTAINERIZED="true",
        SERVING_API_KEYS="one, two", SERVING_API_KEYS_FILE=str(home / "keys"), SERVING_MAX_ROWS="5",
        SERVING_MAX_BODY_BYTES="60000", SERVING_TIMEOUT="1", SERVING_MAX_CONCURRENCY="2",
    )  # fmt: skip
    try:
        wait_until(lambda: is_up(started))
        yield started
    finally:
        stop(started)


def test_curl_as_the_documentation_shows_it(server: BentoServer) -> None:
    command = ["curl", "-sS", f"{server.url}/predict", "-H", "content-type: application/json", "-d", json.dumps(BODY)]
    response = json.loads(subprocess.run(command, capture_output=True, check=True, timeout=20).stdout)
    assert response["model"] == {"name": "tickets", "version": "7"}


def test_the_documentation_and_the_page_are_in_the_bento(server: BentoServer) -> None:
    for path in ("/", "/page.js", "/docs", "/static_content/swagger-ui-bundle.js", "/readyz"):
        assert httpx.get(server.url + path).status_code == 200, path


def test_the_log_has_one_line_per_request_and_no_content(server: BentoServer) -> None:
    secret = "Brigadoon-3141"
    headers = {"x-request-id": "find-me"}
    httpx.post(f"{server.url}/predict", json={"instances": [GOOD | {"port": secret}]}, headers=headers)
    wait_until(lambda: "find-me" in server.log_text(), 5)
    (line,) = [line for line in server.log_text().splitlines() if "find-me" in line]
    entry = json.loads(line)
    assert (entry["method"], entry["path"], entry["status"]) == ("POST", "/predict", 200)
    assert entry["ms"] > 0
    assert secret not in server.log_text()
    assert '"POST /predict HTTP/1.1" 200' not in server.log_text(), "uvicorn writes no access log of its own"


def listening_addresses(port: int) -> list[str]:
    """The addresses on which this machine listens to a port, from /proc/net/tcp."""
    fields = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    local = [address for _, address, _, state, *_ in fields if state == "0A"]
    return [socket.inet_ntoa(bytes.fromhex(a[:8])[::-1]) for a in local if a.endswith(f":{port:04X}")]


def test_it_listens_on_loopback_and_in_a_container_on_every_address(
    server: BentoServer, configured: BentoServer
) -> None:
    assert listening_addresses(server.port) == ["127.0.0.1"]
    assert listening_addresses(configured.port) == ["0.0.0.0"]


@pytest.mark.parametrize("key", ["one", "two", "of-a-file"])
def test_keys_come_from_the_environment_and_a_file(configured: BentoServer, key: str) -> None:
    url = f"{configured.url}/predict"
    assert_problem(httpx.post(url, json=BODY), 401)
    assert httpx.post(url, json=BODY, headers={"x-api-key": key}).status_code == 200


def test_limits_come_from_the_environment(configured: BentoServer) -> None:
    with httpx.Client(base_url=configured.url, headers={"x-api-key": "one"}) as client:
        assert_problem(client.post("/predict", json={"instances": [GOOD] * 6}), 413, "5 rows")
        body = {"content": b" " * 60_001, "headers": {"content-type": "application/json"}}
        assert_problem(client.post("/predict", **body), 413, "60000")


def test_a_slow_head_is_cut_off_after_the_timeout(configured: BentoServer) -> None:
    started = time.monotonic()
    with socket.create_connection(("127.0.0.1", configured.port), timeout=20) as connection:
        connection.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\n")
        assert connection.recv(1) == b"", "closed by the service"
    assert 0.5 < time.monotonic() - started < 10  # 1 second, not uvicorn's endless wait


def test_a_changed_file_stops_the_start_with_its_name(home: Path, bento: Path, tmp_path: Path) -> None:
    copy = copy_of(bento, tmp_path)
    (copy / "src/bundle/model.onnx").write_bytes(b"something else")
    server = launch(home, str(copy))
    assert server.process.wait(timeout=60) != 0
    assert "model.onnx was changed" in server.log_text()
    assert "Traceback" not in server.log_text()


def test_invalid_settings_stop_the_start_with_their_names(bento: Path) -> None:
    invalid = {"SERVING_MAX_ROWS": "many", "SERVING_TIMEOUT": "-1", "SERVING_API_KEYS_FILE": "/nowhere"}
    command = [sys.executable, "-c", "import serving.service"]  # as `bentoml serve` does, without its processes
    done = subprocess.run(
        command, cwd=bento / "src", env=os.environ | invalid, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1
    assert all(name in done.stderr for name in invalid)
    assert "Traceback" not in done.stderr


def test_sigterm_under_load_answers_every_accepted_request(home: Path) -> None:
    server = launch(home, "tickets:latest")
    wait_until(lambda: is_up(server))
    done: list[int] = []
    broken: list[str] = []

    def work() -> None:
        with httpx.Client(base_url=server.url, timeout=20) as client:
            while True:
                try:
                    done.append(client.post("/predict", json={"instances": [GOOD] * 200}).status_code)
                except (httpx.ConnectError, httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError) as error:
                    broken.append(type(error).__name__)
                    return

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    wait_until(lambda: len(done) > 50)
    before = server.log_text().count('"status":200')
    assert stop(server) == 0
    for worker in workers:
        worker.join(timeout=20)
    # Every response in the service's log has arrived at its client.
    answered = sum(
        1 for line in server.log_text().splitlines() if '"path":"/predict"' in line and '"status":200' in line
    )
    assert set(done) == {200}
    assert answered == len(done)
    assert answered >= before


def live_workers(server: BentoServer) -> list[psutil.Process]:
    """The worker processes of a service."""
    alive = []
    for child in psutil.Process(server.process.pid).children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):  # it has just ended
            if child.status() != psutil.STATUS_ZOMBIE:
                alive.append(child)
    return alive


def test_a_killed_worker_is_replaced_and_no_worker_outlives_the_service(
    home: Path, bento: Path, tmp_path: Path
) -> None:
    copy = copy_of(bento, tmp_path)
    settings = json.loads((copy / "src/settings.json").read_text())
    (copy / "src/settings.json").write_text(json.dumps(settings | {"workers": 2}))
    server = launch(home, str(copy))
    wait_until(lambda: is_up(server) and len(live_workers(server)) == 2)
    done: list[int] = []
    broken: list[float] = []
    enough = threading.Event()

    def work() -> None:
        with httpx.Client(base_url=server.url, timeout=20) as client:
            while not enough.is_set():
                try:
                    done.append(client.post("/predict", json=BODY).status_code)
                except httpx.TransportError:
                    broken.append(time.monotonic())
                time.sleep(0.01)

    clients = [threading.Thread(target=work) for _ in range(4)]
    for client in clients:
        client.start()
    try:
        wait_until(lambda: len(done) > 100)
        victim, other = live_workers(server)
        victim.kill()
        killed, before = time.monotonic(), len(done)
        wait_until(lambda: len(done) > before + 100, 10)  # the other worker goes on
        wait_until(lambda: len(live_workers(server)) == 2, 30)
    finally:  # also if the test fails
        enough.set()
        for client in clients:
            client.join(timeout=20)
    assert set(done) == {200}
    assert len(broken) <= len(clients)  # at most the request in progress of each connection
    assert all(moment < killed + 1 for moment in broken)

    # Each worker reports the sum over all workers.
    wait_until(lambda: "serving_rows_total" in httpx.get(f"{server.url}/metrics").text)
    counted = re.search(r"^serving_rows_total (\S+)$", httpx.get(f"{server.url}/metrics").text, re.M)
    assert counted is not None
    assert len(done) <= float(counted[1]) <= len(done) + len(broken)

    workers = live_workers(server)
    assert other.pid in {worker.pid for worker in workers}
    server.process.kill()
    assert not psutil.wait_procs(workers, timeout=15)[1]


def copy_of(bento: Path, folder: Path) -> Path:
    """A copy that a test may change."""
    return Path(shutil.copytree(bento, folder / "bento"))
