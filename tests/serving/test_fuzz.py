"""Random changes of valid requests: no 5xx, no hang, and the next valid request gets a prediction."""

import json
import random
import socket

import httpx
import pytest
from bento_servers import BentoServer
from request_bodies import GOOD, ROUTES, request_body

JSON_REQUESTS, RAW_CONNECTIONS = 5_000, 200
UNUSUAL_VALUES = [
    None,
    True,
    -1,
    0,
    1e308,
    10**30,
    "",
    "x",
    "NaN",
    [],
    {},
    [[]],
    [None],
    {"b64": "x"},
    "\u0000",
    "é" * 50,
    -0.0,
]


def mutate(value: object, rng: random.Random) -> object:
    """The document with one change: a value or a key replaced, or an element removed."""
    if rng.random() < 0.2:
        return rng.choice(UNUSUAL_VALUES)
    if isinstance(value, dict) and value:
        key = rng.choice(list(value))
        changed = dict(value)
        if rng.random() < 0.2:
            changed[rng.choice(["x", "", "instances", "inputs"])] = changed.pop(key)
        else:
            changed[key] = mutate(value[key], rng)
        return changed
    if isinstance(value, list) and value:
        changed_list = list(value)
        position = rng.randrange(len(value))
        if rng.random() < 0.2:
            del changed_list[position]
        else:
            changed_list[position] = mutate(value[position], rng)
        return changed_list
    return rng.choice(UNUSUAL_VALUES)


def garble(body: bytes, rng: random.Random) -> bytes:
    """The bytes with up to three replaced, removed or inserted."""
    content = bytearray(body)
    for _ in range(rng.randrange(1, 4)):
        position = rng.randrange(len(content) + 1)
        content[position : position + rng.randrange(3)] = rng.randbytes(rng.randrange(3))
    return bytes(content)


def fail_on_constant(token: str) -> None:
    pytest.fail(f"{token} in JSON")


@pytest.mark.parametrize("seed", range(4))
def test_mutated_json_gives_no_server_error(tickets: httpx.Client, seed: int) -> None:
    rng = random.Random(seed)
    protocol = list(ROUTES)[seed]
    good = request_body(protocol, [list(GOOD.values())] * 2)
    route = ROUTES[protocol].format(m="tickets")
    headers = {"content-type": "application/json"}
    statuses = set()
    for _ in range(JSON_REQUESTS // 4):
        body = json.dumps(mutate(good, rng)).encode()
        if rng.random() < 0.3:
            body = garble(body, rng)
        response = tickets.post(route, content=body, headers=headers, timeout=10)
        statuses.add(response.status_code)
        assert response.status_code < 500, (body, response.text)
        json.loads(response.text, parse_constant=fail_on_constant)
    assert statuses == {200, 400}  # the changes gave valid and invalid requests
    assert tickets.post(route, json=good).status_code == 200


def test_garbled_http_gives_no_server_error(server: BentoServer) -> None:
    rng = random.Random(5)
    body = json.dumps({"instances": [GOOD]}).encode()
    head = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(
        body
    )
    n_responses = 0
    for number in range(RAW_CONNECTIONS):
        with socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection:
            connection.sendall(garble(head, rng) + body)
            connection.shutdown(socket.SHUT_WR)  # so that the service does not wait for the rest of a truncated request
            received = b""
            try:
                while part := connection.recv(65536):
                    received += part
            except ConnectionResetError:
                pass
        n_responses += b"HTTP/1.1 " in received
        assert b"HTTP/1.1 5" not in received, (number, received)
    assert n_responses > RAW_CONNECTIONS / 2
    assert httpx.post(f"{server.url}/predict", json={"instances": [GOOD]}).status_code == 200
    assert "Traceback" not in server.log_text()
