"""The service under hostile requests and slow clients: a Bento of its own, on loopback, with its log and its memory."""

import contextlib
import http.client
import itertools
import json
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from bench.attack.rows import Row
from bench.attack.service_cases import CLASSES, GOOD, Case
from tests.serving.bento_servers import BentoServer, is_up, launch, package, stop, wait_until
from tests.serving.bundles import TILES, make_bundle

ATTACKERS, SECONDS, TIMEOUT = 10, 6.0, 5  # attackers at the same time; seconds of an attack; SERVING_TIMEOUT
HEAD = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"


def run() -> list[Row]:
    """Send every class of requests, then run the good client beside each kind of bad client, then end the service."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_bundle(TILES, folder / "artifacts/tiles/bundle")
        package(folder, "tiles")
        server = launch(folder, "tiles:latest", SERVING_TIMEOUT=str(TIMEOUT), SERVING_DRAIN_SECONDS="3")
        try:
            wait_until(lambda: is_up(server))
            found = {name: list(cases()) for name, cases in CLASSES.items()}
            rows = [_send_class(server, name, cases) for name, cases in found.items()]
            bombs = [case for case in found["pictures"] if "4096" in case.name or "large" in case.name]
            _good_client(server, 2)
            quiet = _good_client(server, SECONDS)
            attacks = {
                "slow head": _slow_head, "slow body": _slow_body, "slow read": _slow_read, "idle": _idle,
                "lone line ends": _lone_line_ends, "unfinished requests": _unfinished,
                "picture bombs": _repeat(bombs), "compressed bombs": _repeat(found["compressed bodies"]),
                "nested JSON, again and again": _repeat(found["nested JSON"]),
                "large JSON, again and again": _repeat(found["large JSON"]),
            }  # fmt: skip
            rows += [_beside(server, name, attack, quiet) for name, attack in attacks.items()]
            rows.append(_many_connections(server))
            rows.append(_drain(server))
        finally:
            with contextlib.suppress(subprocess.TimeoutExpired):
                stop(server)
    return rows


def _send_class(server: BentoServer, name: str, cases: list[Case]) -> Row:
    """Send every case twice; memory counts from the second time on."""
    for case in cases:
        _post(server, case)
    _start_bulk(server)
    memory, log = _memory_mb(server), server.log.stat().st_size
    failures = []
    for case in cases:
        status, retry = _post(server, case)
        if status not in case.statuses and not (status in (503, 504) and retry):
            failures.append(f"{case.name} on {case.path}: expected {case.statuses}, received {status}")
    _start_bulk(server)
    time.sleep(0.5)  # until the log is written
    growth = _memory_mb(server) / memory - 1
    per_request = (server.log.stat().st_size - log) / len(cases)
    failures += [f"memory grew by {growth:.0%}"] * (growth > 0.05) + [f"{per_request:.0f} bytes of log"] * (
        per_request > 1024
    )
    failures += ["a stack trace in the log"] * ("Traceback" in server.log_text())
    return Row(f"service: {name}", len(cases), failures, f"memory {growth:+.1%}, log {per_request:.0f} bytes a request")


def _start_bulk(server: BentoServer) -> None:
    """Start the process for large requests: a slow machine may have ended it, and its memory would be missing."""
    large = Case("large", "/predict", {"Content-Type": "application/json"}, GOOD + b" " * 2**21, (200,))
    wait_until(lambda: _post(server, large)[0] == 200)


def _memory_mb(server: BentoServer) -> float:
    """Resident memory of all processes of the service."""
    family = psutil.Process(server.process.pid)
    return sum(process.memory_info().rss for process in [family, *family.children(recursive=True)]) / 2**20


def _post(server: BentoServer, case: Case) -> tuple[int, str | None]:
    """The status and Retry-After; status 0 for a connection that was ended."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    try:
        connection.request("POST", case.path, case.body, case.headers)
        answer = connection.getresponse()
        answer.read()
        return answer.status, answer.getheader("Retry-After")
    except (OSError, http.client.HTTPException):
        return (413 if 413 in case.statuses else 0), None  # ended before the whole body was sent
    finally:
        connection.close()


def _beside(server: BentoServer, name: str, attack: Callable[[BentoServer, threading.Event], None], quiet: dict) -> Row:
    """The good client while ten attackers work."""
    ended = threading.Event()

    def work() -> None:
        while not ended.is_set():
            with contextlib.suppress(OSError, http.client.HTTPException):
                attack(server, ended)

    attackers = [threading.Thread(target=work, daemon=True) for _ in range(ATTACKERS)]
    for attacker in attackers:
        attacker.start()
    try:
        good = _good_client(server, SECONDS)
    finally:
        ended.set()
        for attacker in attackers:
            attacker.join(timeout=40)
    failures = [] if set(good["statuses"]) == {"200"} else [f"the good client received {good['statuses']}"]
    ratio = good["p99_ms"] / quiet["p99_ms"]
    failures += [f"p99 is {ratio:.1f} times the quiet one"] * (ratio > 5)
    failures += ["a stack trace in the log"] * ("Traceback" in server.log_text())
    note = f"p99 {good['p99_ms']:.1f} ms, quiet {quiet['p99_ms']:.1f} ms, {sum(good['statuses'].values())} answered"
    return Row(f"beside {ATTACKERS} clients: {name}", ATTACKERS, failures, note)


def _good_client(server: BentoServer, seconds: float) -> dict:
    command = [sys.executable, "-m", "bench.attack.good_client", str(server.port), str(seconds)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=seconds + 60)
    return json.loads(done.stdout)


def _connect(server: BentoServer) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=TIMEOUT + 5)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    return connection


def _drip(server: BentoServer, ended: threading.Event, first: bytes, drop: bytes) -> None:
    """Send a beginning, then a few bytes now and then, until the service ends the connection."""
    with _connect(server) as connection:
        connection.sendall(first)
        while not ended.wait(0.1):
            connection.sendall(drop)


def _slow_head(server: BentoServer, ended: threading.Event) -> None:
    _drip(server, ended, b"POST /predict HTTP/1.1\r\n", b"a: b\r\n")


def _slow_body(server: BentoServer, ended: threading.Event) -> None:
    _drip(server, ended, HEAD % 10**6, b" ")


def _lone_line_ends(server: BentoServer, ended: threading.Event) -> None:
    _drip(server, ended, b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n", b"\r\n")


def _slow_read(server: BentoServer, ended: threading.Event) -> None:
    body = json.dumps({"instances": [[[0] * 8] * 8] * 2000}).encode()
    with _connect(server) as connection:
        for _ in range(6):
            connection.sendall(HEAD % len(body) + body)
        while not ended.wait(0.1) and connection.recv(1):
            pass


def _idle(server: BentoServer, ended: threading.Event) -> None:
    with _connect(server) as connection:
        ended.wait(TIMEOUT)
        connection.recv(1)


def _unfinished(server: BentoServer, ended: threading.Event) -> None:
    for cut in itertools.takewhile(lambda _: not ended.is_set(), range(1, 400, 13)):
        with _connect(server) as connection:
            connection.sendall((HEAD % len(GOOD) + GOOD)[:cut])
        ended.wait(0.01)


def _repeat(cases: list[Case]) -> Callable[[BentoServer, threading.Event], None]:
    def attack(server: BentoServer, ended: threading.Event) -> None:
        for case in cases:
            if not ended.is_set():
                _post(server, case)

    return attack


def _many_connections(server: BentoServer) -> Row:
    """More connections than the service keeps open: a probe is answered, and they end within the timeout."""
    opened, failures = [], []
    for _ in range(1200):
        with contextlib.suppress(OSError):
            opened.append(_connect(server))
    try:
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)) as probe:
            probe.request("GET", "/livez")
            if probe.getresponse().status != 200:
                failures.append("/livez was not answered")
        time.sleep(TIMEOUT + 3)
        worker = max(psutil.Process(server.process.pid).children(recursive=True), key=lambda p: p.memory_info().rss)
        left = len([c for c in worker.net_connections() if c.status == "ESTABLISHED"])
        failures += [f"{left} connections are still open"] * (left > 5)
    finally:
        for connection in opened:
            connection.close()
    return Row("1,200 connections", len(opened), failures, f"{left} open after {TIMEOUT + 3} s")


def _drain(server: BentoServer) -> Row:
    """SIGTERM while clients neither send nor read to the end."""
    ended = threading.Event()
    kinds = (_slow_body, _slow_read, _slow_head, _idle, _lone_line_ends)

    def work(kind: Callable[[BentoServer, threading.Event], None]) -> None:
        with contextlib.suppress(OSError):
            kind(server, ended)

    threads = [threading.Thread(target=work, args=[kind], daemon=True) for kind in kinds]
    for thread in threads:
        thread.start()
    time.sleep(1)
    started, failures = time.monotonic(), []
    try:
        status = stop(server)
        failures += [f"the service ended with {status}"] * (status != 0)
    except subprocess.TimeoutExpired:
        failures.append("the service did not end")
    ended.set()
    failures += ["a stack trace in the log"] * ("Traceback" in server.log_text())
    return Row("SIGTERM beside slow clients", len(kinds), failures, f"ended after {time.monotonic() - started:.1f} s")
