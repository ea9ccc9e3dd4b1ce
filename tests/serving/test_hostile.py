"""Hostile requests and clients, with their exact answers; `make attack` has many more of the same classes."""

import contextlib
import functools
import io
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import numpy as np
import orjson
import psutil
import pytest
from apps import LiveApp, listen, make_model, make_test_app
from bento_servers import is_up, launch, stop, wait_until
from bundles import TICKETS, TILES, make_bundle
from PIL import Image
from request_bodies import GOOD, IMAGE, assert_problem
from test_service import copy_of

from bench.attack import service_cases
from bench.attack.service_cases import Case
from contracts.bundle import MANIFEST, BundleDamaged, Manifest, seal
from serving.parsing.image_files import decode_image
from serving.predictor import Predictor
from serving.settings import Settings, SettingsError, read_settings

# The largest pictures and bodies take seconds to make: they are left to the attack.
CASES = service_cases.CLASSES | {
    "pictures": functools.cache(lambda: list(service_cases.pictures(sides=(8, 500)))),
    "compressed bodies": lambda: service_cases.compressed(megabytes=(17, 64)),
}


@pytest.mark.parametrize("name", CASES)
def test_every_case_of_the_attack_gets_its_status(tiles: httpx.Client, name: str) -> None:
    cases = list(CASES[name]())

    def status(case: Case) -> int:
        return tiles.post(case.path, content=case.body, headers=case.headers).status_code

    received = {f"{case.name} on {case.path}": status(case) for case in cases}
    expected = {f"{case.name} on {case.path}": case.statuses for case in cases}
    assert {key: value for key, value in received.items() if value not in expected[key]} == {}


def picture(array: np.ndarray, **options: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(array).save(file, "PNG", **options)
    return file.getvalue()


def test_a_picture_of_16_bits_has_the_pixels_of_the_one_of_8(tiles: httpx.Client) -> None:
    eight = (np.arange(64).reshape(8, 8) * 4).astype(np.uint8)
    sixteen = eight.astype(np.uint16) * 257
    bodies = [
        picture(np.where(eight == 200, 0, eight).astype(np.uint8)),
        picture(eight, transparency=200),
        picture(sixteen, transparency=200 * 257),
    ]
    answers = [tiles.post("/predict", content=body, headers={"content-type": "image/png"}) for body in bodies]
    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert answers[0].json() == answers[1].json() == answers[2].json()


def test_pictures_are_refused_with_the_limit_that_they_exceed(tiles: httpx.Client) -> None:
    def detail(name: str) -> str:
        (case,) = [case for case in CASES["pictures"]() if case.name == name]
        return assert_problem(tiles.post(case.path, content=case.body, headers=case.headers), case.statuses[0])[
            "detail"
        ]

    assert detail("a PNG that says 65535") == "file 1: expected at most 4096 by 4096 pixels, received a larger picture"
    assert detail("30000 scans") == "file 1: expected a JPEG of at most 100 scans, received more scans"
    assert "at most 536870912 pixels" in detail("40 large PNG")


def test_the_limit_of_one_request_does_not_outlive_it(tiles: httpx.Client) -> None:
    small, large = (picture(np.zeros((side, side), np.uint8)) for side in (8, 1000))
    assert tiles.post("/predict", content=small, headers={"content-type": "image/png"}).status_code == 200
    (image,) = TILES.features
    assert decode_image(large, image).shape == (64,)  # in the thread that has answered the request


HEAD = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n%b\r\n"
BODY = b'{"instances": [%b]}' % str(IMAGE).encode()
UPGRADES = {
    "HTTP/2": b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQC\r\n",
    "WebSocket": b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: AAAA\r\n",
}


def exchange(port: int, sent: bytes) -> bytes:
    """Everything that the service sends until it closes the connection."""
    received = b""
    with socket.create_connection(("127.0.0.1", port), timeout=15) as connection:
        connection.sendall(sent)
        while part := connection.recv(65536):
            received += part
    return received


@pytest.fixture(scope="module")
def impatient(bundles: Path) -> Iterator[LiveApp]:
    """Images on a port; waits half a second for its clients."""
    with listen(make_test_app(make_model(TILES, bundles / "tiles")), timeout=0.5) as app:
        yield app


@pytest.mark.parametrize("upgrade", UPGRADES.values(), ids=UPGRADES.keys())
def test_a_request_for_another_protocol_is_answered_as_http_1(impatient: LiveApp, upgrade: bytes) -> None:
    request = HEAD % (len(BODY), upgrade) + BODY
    received = exchange(impatient.port, request * 3)
    assert received.count(b"HTTP/1.1 200 OK") == 3
    assert received.count(b'"probabilities"') == 3
    assert b"400 Bad Request" in exchange(impatient.port, b"CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n")


WAITS = {
    "idle": lambda connection: None,
    "a slow head": lambda connection: connection.sendall(b"a: b\r\n"),
    "lone line ends": lambda connection: connection.sendall(b"\r\n"),
}


def is_ended(connection: socket.socket, send: Callable[[socket.socket], object], seconds: float = 10) -> bool:
    """Whether the service ends a connection on which a client sends something now and then, and reads."""
    ends = time.monotonic() + seconds
    connection.settimeout(0.05)
    while time.monotonic() < ends:
        try:
            send(connection)
            if not connection.recv(65536):
                return True
        except TimeoutError:
            pass
        except OSError:  # reset, or a broken pipe
            return True
    return False


@pytest.mark.parametrize("first", [b"", b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"], ids=["new", "answered"])
@pytest.mark.parametrize("drip", WAITS.values(), ids=WAITS.keys())
def test_nothing_that_a_client_sends_keeps_a_connection_open(
    impatient: LiveApp, first: bytes, drip: Callable[[socket.socket], None]
) -> None:
    with socket.create_connection(("127.0.0.1", impatient.port), timeout=10) as connection:
        connection.sendall(first)
        assert is_ended(connection, drip)


def test_a_client_that_does_not_read_is_ended_without_a_trace(
    impatient: LiveApp, capfd: pytest.CaptureFixture[str]
) -> None:
    body = b'{"instances": [%b]}' % b",".join([str(IMAGE).encode()] * 3000)
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", impatient.port))
        connection.settimeout(10)
        with pytest.raises(OSError, match=r"reset by peer|Broken pipe"):
            connection.sendall((HEAD % (len(body), b"") + body) * 50)
    assert exchange(impatient.port, HEAD % (len(BODY), b"Connection: close\r\n") + BODY).startswith(b"HTTP/1.1 200")
    assert "Traceback" not in capfd.readouterr().err


def test_a_further_connection_ends_the_one_that_waits_longest(bundles: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.http.connections.CONNECTIONS_PER_REQUEST", 10 / Settings().max_concurrency)
    with contextlib.ExitStack() as stack:
        service = stack.enter_context(listen(make_test_app(make_model(TICKETS, bundles / "tickets"))))
        address = ("127.0.0.1", service.port)
        connections = []
        for _ in range(15):
            connections.append(stack.enter_context(socket.create_connection(address, timeout=5)))
            time.sleep(0.02)  # or the loop accepts several at the same time
        assert httpx.get(f"{service.url}/livez").status_code == 200
        assert is_ended(connections[0], lambda connection: None)
        assert not is_ended(connections[-1], lambda connection: None, 0.2)


@pytest.mark.parametrize("keys", [" , ,", ",", "  "])
def test_keys_without_a_key_are_refused(keys: str) -> None:
    with pytest.raises(SettingsError, match="SERVING_API_KEYS: expected keys, separated by commas; it has no key"):
        read_settings({"SERVING_API_KEYS": keys})
    assert read_settings({"SERVING_API_KEYS": ""}) == Settings()


def change_manifest(folder: Path, **fields: object) -> None:
    manifest = Manifest.model_validate_json((folder / MANIFEST).read_bytes()).model_copy(update=fields)
    (folder / MANIFEST).write_text(manifest.model_dump_json())


def reseal(folder: Path, name: str, content: bytes) -> None:
    (folder / name).write_bytes(content)
    manifest = Manifest.model_validate_json((folder / MANIFEST).read_bytes())
    seal(folder, manifest)


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "no files listed": (lambda folder: change_manifest(folder, files={}), "model.onnx is missing, or manifest.json"),
    "a file unlisted": (lambda folder: (folder / "extra.so").touch(), "extra.so: expected only files that"),
    "a file outside": (lambda folder: change_manifest(folder, files={"../x": "0"}), "model.onnx is missing, or"),
    "no manifest": (lambda folder: (folder / MANIFEST).unlink(), "manifest.json cannot be read"),
    "a manifest nested deep": (lambda folder: (folder / MANIFEST).write_text("[" * 10**5), "manifest.json cannot be"),
    "no model, hashed": (lambda folder: reseal(folder, "model.onnx", b"x"), "model.onnx is not a model"),
    "no schema, hashed": (lambda folder: reseal(folder, "schema.json", b"{}"), "schema.json is not a schema"),
}


@pytest.mark.parametrize(("damage", "message"), DAMAGES.values(), ids=DAMAGES.keys())
def test_a_damaged_bundle_is_refused_with_the_name_of_the_file(
    tmp_path: Path, damage: Callable[[Path], object], message: str
) -> None:
    make_bundle(TICKETS, tmp_path / "bundle")
    damage(tmp_path / "bundle")
    with pytest.raises(BundleDamaged, match=message):
        Predictor(tmp_path / "bundle")


def test_a_model_that_cannot_be_loaded_ends_the_service_with_one_message(
    home: Path, bento: Path, tmp_path: Path
) -> None:
    copy = copy_of(bento, tmp_path)
    reseal(copy / "src/bundle", "model.onnx", b"no model")
    server = launch(home, str(copy))
    assert server.process.wait(timeout=60) == 1
    assert server.log_text().count("cannot start: ") == 1
    assert "model.onnx is not a model that ONNX Runtime loads" in server.log_text()
    assert "Traceback" not in server.log_text()


def test_the_service_ends_on_sigterm_whatever_its_clients_do(home: Path) -> None:
    server = launch(home, "tickets:latest", SERVING_DRAIN_SECONDS="1", SERVING_TIMEOUT="60")
    wait_until(lambda: is_up(server))
    large = b'{"instances": [%b]}' % orjson.dumps(GOOD) + b" " * 2**21
    assert httpx.post(f"{server.url}/predict", content=large, timeout=60).status_code == 200
    processes = psutil.Process(server.process.pid).children(recursive=True)
    assert any("serving.http.bulk_worker" in process.cmdline() for process in processes)
    body, unread = b'{"instances": [' + b"1," * 10**6, socket.socket()
    with unread, socket.create_connection(("127.0.0.1", server.port)) as slow:
        slow.sendall(HEAD % (10**7, b"") + body)
        unread.connect(("127.0.0.1", server.port))
        unread.sendall(b"GET /static_content/swagger-ui-bundle.js HTTP/1.1\r\nHost: x\r\n\r\n" * 50)
        time.sleep(0.3)
        started = time.monotonic()
        assert stop(server) == 0
    assert time.monotonic() - started < 15  # 60 seconds without the drain's end
    wait_until(lambda: not any(process.is_running() for process in processes), 5)
    assert "Traceback" not in server.log_text()
