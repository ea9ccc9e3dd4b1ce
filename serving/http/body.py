"""The body of a request, whole, within the limits."""

import asyncio
import types
import zlib
from collections.abc import Coroutine, Generator, Mapping
from typing import Any

from starlette.requests import ClientDisconnect
from starlette.types import Receive

from serving.errors import CLOSE, Problem
from serving.settings import Settings

WINDOWS = {"gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}


async def read_body(headers: Mapping[bytes, bytes], receive: Receive, settings: Settings) -> bytes:
    """The bytes of a body, decompressed.

    Raises:
        Problem: 413 past the limit, 408 where it does not arrive in time, 415 for an unknown encoding, 400
            where it cannot be decompressed.
        ClientDisconnect: where the sender is gone.
    """
    encoding = headers.get(b"content-encoding", b"identity").decode("latin-1").strip().lower()
    if encoding != "identity" and encoding not in WINDOWS:
        raise Problem(415, "expected content encoding gzip, deflate or none, received another", headers=CLOSE)
    declared = headers.get(b"content-length", b"0").decode("latin-1")
    if declared.isdecimal() and int(declared[:20]) > settings.body_bytes:
        raise _too_large(settings)
    receiving = _receive(receive, settings)
    try:
        waiting = receiving.send(None)  # most bodies are there already, and need no timer
    except StopIteration as received:
        body = received.value
    else:
        body = await _in_time(receiving, waiting, settings)
    return body if encoding == "identity" else _decompress(body, WINDOWS[encoding], settings)


async def _in_time(receiving: Coroutine[Any, Any, bytes], waiting: Any, settings: Settings) -> bytes:
    try:
        async with asyncio.timeout(settings.seconds):
            return await _resumed(receiving, waiting)
    except TimeoutError:
        raise Problem(408, f"the body did not arrive within {settings.seconds:g} seconds", headers=CLOSE) from None


@types.coroutine
def _resumed(coroutine: Coroutine[Any, Any, bytes], waiting: Any) -> Generator[Any, Any, bytes]:
    """Goes on with a coroutine that was stepped by hand, from what it waits for."""
    try:
        while True:
            try:
                sent = yield waiting
            except BaseException as error:  # a cancellation, above all
                waiting = coroutine.throw(error)
            else:
                waiting = coroutine.send(sent)
    except StopIteration as done:
        return done.value


async def _receive(receive: Receive, settings: Settings) -> bytes:
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > settings.body_bytes:
            raise _too_large(settings)
        chunks.append(chunk)
        if not message.get("more_body", False):
            return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def _decompress(body: bytes, window: int, settings: Settings) -> bytes:
    stream = zlib.decompressobj(window)
    try:
        content = stream.decompress(body, settings.body_bytes + 1)
    except zlib.error:
        raise Problem(400, "the body is not compressed as content-encoding says") from None
    if len(content) > settings.body_bytes:
        raise _too_large(settings)
    if not stream.eof or stream.unused_data:
        raise Problem(400, "the compressed body is truncated, or something follows it")
    return content


def _too_large(settings: Settings) -> Problem:
    return Problem(413, f"expected a body of at most {settings.body_bytes} bytes, received more", headers=CLOSE)
