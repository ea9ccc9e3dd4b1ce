"""The body of a request, whole, within the limits."""

import asyncio
import zlib

from starlette.requests import ClientDisconnect, Request

from serving.problems import CLOSE, Problem
from serving.settings import Settings

WINDOWS = {"gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}


async def read_body(request: Request, settings: Settings) -> bytes:
    """The bytes of a body, decompressed.

    Raises:
        Problem: 413 past the limit, 408 where it does not arrive in time, 415 for an unknown encoding, 400
            where it cannot be decompressed.
        ClientDisconnect: where the sender is gone.
    """
    headers = request.headers
    encoding = headers.get("content-encoding", "identity").strip().lower()
    if encoding != "identity" and encoding not in WINDOWS:
        raise Problem(415, "expected content encoding gzip, deflate or none, received another", headers=CLOSE)
    declared = headers.get("content-length", "0")
    if declared.isdecimal() and int(declared[:20]) > settings.body_bytes:
        raise _too_large(settings)
    try:
        async with asyncio.timeout(settings.seconds):
            body = await _receive(request, settings)
    except TimeoutError:
        raise Problem(408, f"the body did not arrive within {settings.seconds:g} seconds", headers=CLOSE) from None
    return body if encoding == "identity" else _decompress(body, WINDOWS[encoding], settings)


async def _receive(request: Request, settings: Settings) -> bytes:
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await request.receive()
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
