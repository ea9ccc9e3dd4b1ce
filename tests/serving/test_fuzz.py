"""Ten thousand requests that nobody would send: no 5xx, no hang, and the next good one is answered."""

import json
import random
import socket

import httpx
import pytest
from asking import GOOD, ROUTES, request
from servers import Server

JSON_REQUESTS, RAW_CONNECTIONS = 10_000, 400
ODD = [None, True, -1, 0, 1e308, 10**30, "", "x", "NaN", [], {}, [[]], [None], {"b64": "x"}, "\u0000", "é" * 50, -0.0]


def mutate(value: object, chance: random.Random) -> object:
    """A document with something else in one place."""
    if chance.random() < 0.2:
        return chance.choice(ODD)
    if isinstance(value, dict) and value:
        key = chance.choice(list(value))
        changed = dict(value)
        if chance.random() < 0.2:
            changed[chance.choice(["x", "", "instances", "inputs"])] = changed.pop(key)
        else:
            changed[key] = mutate(value[key], chance)
        return changed
    if isinstance(value, list) and value:
        changed_list = list(value)
        position = chance.randrange(len(value))
        if chance.random() < 0.2:
            del changed_list[position]
        else:
            changed_list[position] = mutate(value[position], chance)
        return changed_list
    return chance.choice(ODD)


def garble(body: bytes, chance: random.Random) -> bytes:
    """Bytes with some replaced, removed or repeated."""
    content = bytearray(body)
    for _ in range(chance.randrange(1, 4)):
        position = chance.randrange(len(content) + 1)
        content[position : position + chance.randrange(3)] = chance.randbytes(chance.randrange(3))
    return bytes(content)


def no_constant(token: str) -> None:
    pytest.fail(f"{token} in JSON")


@pytest.mark.parametrize("seed", range(4))
def test_json_that_nobody_would_send(tickets: httpx.Client, seed: int) -> None:
    chance = random.Random(seed)
    protocol = list(ROUTES)[seed]
    good = request(protocol, [list(GOOD.values())] * 2)
    route = ROUTES[protocol].format(m="tickets")
    headers = {"content-type": "application/json"}
    statuses = set()
    for _ in range(JSON_REQUESTS // 4):
        body = json.dumps(mutate(good, chance)).encode()
        if chance.random() < 0.3:
            body = garble(body, chance)
        answer = tickets.post(route, content=body, headers=headers, timeout=10)
        statuses.add(answer.status_code)
        assert answer.status_code < 500, (body, answer.text)
        json.loads(answer.text, parse_constant=no_constant)
    assert statuses == {200, 400}  # both kinds were tried
    assert tickets.post(route, json=good).status_code == 200


def test_http_that_nobody_would_send(servers: dict[str, Server], tickets: httpx.Client) -> None:
    chance = random.Random(5)
    body = json.dumps({"instances": [GOOD]}).encode()
    head = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(
        body
    )
    answered = 0
    for number in range(RAW_CONNECTIONS):
        with socket.create_connection(("127.0.0.1", servers["tickets"].port), timeout=5) as connection:
            connection.sendall(garble(head, chance) + body)
            connection.shutdown(socket.SHUT_WR)  # so that a head or body cut short is not waited for
            received = b""
            try:
                while part := connection.recv(65536):
                    received += part
            except ConnectionResetError:
                pass
        answered += b"HTTP/1.1 " in received
        assert b"HTTP/1.1 5" not in received, (number, received)
    assert answered > RAW_CONNECTIONS / 2
    assert tickets.post("/predict", json={"instances": [GOOD]}).status_code == 200
    assert "Traceback" not in servers["tickets"].text()
