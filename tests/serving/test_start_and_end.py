"""A Bento that starts, or says why not, and one that ends: readiness, SIGTERM, SIGKILL."""

import contextlib
import json
import re
import shutil
import threading
import time
from pathlib import Path

import httpx
import psutil
from asking import GOOD, refused
from servers import Server, is_up, launch, stop, wait_until

BODY = {"instances": [GOOD]}


def test_a_changed_file_stops_the_start_with_its_name(home: Path, tmp_path: Path) -> None:
    bento = changed_bento(home, tmp_path)
    (bento / "src/bundle/model.onnx").write_bytes(b"something else")
    server = launch(home, str(bento))
    assert server.process.wait(timeout=60) != 0
    assert "model.onnx was changed" in server.text()
    assert "Traceback" not in server.text()


def test_a_wrong_setting_stops_the_start_with_its_name(home: Path) -> None:
    server = launch(
        home, "tickets:latest", SERVING_MAX_ROWS="many", SERVING_TIMEOUT="-1", SERVING_API_KEYS_FILE="/nowhere"
    )
    assert server.process.wait(timeout=60) != 0
    for name in ("SERVING_MAX_ROWS", "SERVING_TIMEOUT", "SERVING_API_KEYS_FILE"):
        assert name in server.text()


def test_a_model_that_fails_its_sample_is_not_ready(home: Path, tmp_path: Path) -> None:
    bento = changed_bento(home, tmp_path)
    settings = json.loads((bento / "src/settings.json").read_text())
    settings["expected"][0] += 0.01
    (bento / "src/settings.json").write_text(json.dumps(settings))
    server = launch(home, str(bento))
    try:
        wait_until(lambda: is_up(server))
        assert httpx.get(f"{server.url}/livez").status_code == 200
        for path in ("/readyz", "/ping", "/v2/health/ready", "/v2/models/tickets/ready"):
            refused(httpx.get(server.url + path), 503, "sample")
        answer = httpx.post(f"{server.url}/predict", json=BODY)
        refused(answer, 503)
        assert int(answer.headers["retry-after"]) > 0
    finally:
        stop(server)


def test_sigterm_under_load_loses_no_accepted_request(home: Path) -> None:
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
    before = server.text().count('"status":200')
    assert stop(server) == 0
    for worker in workers:
        worker.join(timeout=20)
    # Each request that the service says it answered has arrived at its client.
    answered = sum(1 for line in server.text().splitlines() if '"path":"/predict"' in line and '"status":200' in line)
    assert set(done) == {200}
    assert answered == len(done)
    assert answered >= before


def processes(server: Server) -> list[psutil.Process]:
    """The workers of a service that are alive."""
    alive = []
    for child in psutil.Process(server.process.pid).children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):  # it ended meanwhile
            if child.status() != psutil.STATUS_ZOMBIE:
                alive.append(child)
    return alive


def test_of_two_workers_one_may_be_killed_and_none_outlives_the_service(home: Path, tmp_path: Path) -> None:
    bento = changed_bento(home, tmp_path)
    settings = json.loads((bento / "src/settings.json").read_text())
    (bento / "src/settings.json").write_text(json.dumps(settings | {"workers": 2}))
    server = launch(home, str(bento))
    wait_until(lambda: is_up(server) and len(processes(server)) == 2)
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

    clients = [threading.Thread(target=work) for _ in range(4)]
    for client in clients:
        client.start()
    try:
        wait_until(lambda: len(done) > 100)
        victim, other = processes(server)
        victim.kill()
        killed, before = time.monotonic(), len(done)
        wait_until(lambda: len(done) > before + 100, 10)  # the other worker goes on at once
        wait_until(lambda: len(processes(server)) == 2, 30)
    finally:  # or the load would outlive a test that failed
        enough.set()
        for client in clients:
            client.join(timeout=20)
    assert set(done) == {200}
    assert len(broken) <= len(clients)  # what was under way on the worker that died, once a connection
    assert all(moment < killed + 1 for moment in broken)

    # Each of several workers answers for all of them.
    wait_until(lambda: "serving_rows_total" in httpx.get(f"{server.url}/metrics").text)
    counted = re.search(r"^serving_rows_total (\S+)$", httpx.get(f"{server.url}/metrics").text, re.M)
    assert counted is not None
    assert len(done) <= float(counted[1]) <= len(done) + len(broken)

    workers = processes(server)
    assert other.pid in {worker.pid for worker in workers}
    server.process.kill()
    assert not psutil.wait_procs(workers, timeout=15)[1]


def changed_bento(home: Path, folder: Path) -> Path:
    """A copy of a packaged Bento."""
    (latest,) = (path for path in (home / "bentoml/bentos/tickets").iterdir() if path.is_dir())
    return Path(shutil.copytree(latest, folder / "bento"))
