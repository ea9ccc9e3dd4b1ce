"""A route that predicts, from the request's head to its response."""

import asyncio
import contextlib
import time
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from serving.errors import CLOSE_CONNECTION, Problem, problem_response
from serving.http.body import BytesExceeded, read_body, window_bits
from serving.http.bulk import BulkProcess
from serving.http.calls import Call, answer
from serving.model import ModelResponse, ServedModel
from serving.parsing.image_files import PixelsExceeded
from serving.parsing.media_type import MediaType, parse_media_type
from serving.protocols.predict_options import may_take_long
from serving.protocols.routes import PredictRoute
from serving.settings import Settings

MAX_INLINE_BYTES = 32 * 1024  # bytes of a body for the event loop: it is answered before a thread could take it over
MAX_INLINE_PIXELS = 2**17  # pixels of its pictures, which take a millisecond or two
BULK_BYTES = 2**18  # bytes of a body for a thread: a JSON parser holds the interpreter for a millisecond or two
BULK_PIXELS = 2**22  # pixels for a thread: they take 60 ms


class Places(NamedTuple):
    """The places for requests that would block the event loop. Explanations take long, so they have a thread of their
    own.
    """

    threads: ThreadPoolExecutor
    explanations: ThreadPoolExecutor
    bulk: BulkProcess


class PredictEndpoint:
    """The ASGI application of one route. Turns a `Problem` into its response.

    Small requests are answered in the event loop, larger ones in one of the places, so that small requests do not wait
    for large ones.

    Args:
        places: the same ones for all routes.
    """

    def __init__(self, model: ServedModel, settings: Settings, places: Places, route: PredictRoute) -> None:
        self._model, self._settings, self._places, self._route = model, settings, places, route

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            content = await self._predict(scope, receive)
        except Problem as problem:
            await problem_response(problem, scope["path"])(scope, receive, send)
        except ClientDisconnect:
            await Response(status_code=499)(scope, receive, send)
        else:
            await _respond(content, send)

    async def _predict(self, scope: Scope, receive: Receive) -> ModelResponse:
        settings, route, places = self._settings, self._route, self._places
        headers = dict(reversed(scope["headers"]))  # the first of several headers with the same name counts
        content_type = headers.get(b"content-type", b"application/json")
        _check_media_type(parse_media_type(content_type), route.content_types)
        encoding = window_bits(headers)
        body = await read_body(scope, headers, receive, settings)
        query = scope["query_string"] if route.takes_query else b""
        json_length = None
        if route.takes_json_length and (length := headers.get(b"inference-header-content-length")) is not None:
            json_length = length.decode("latin-1")
        call = Call(route.path, content_type, encoding, query, json_length)
        is_slow = may_take_long(query)
        if len(body) <= MAX_INLINE_BYTES and encoding is None and not is_slow:
            with contextlib.suppress(PixelsExceeded):
                return self._answer(call, body, MAX_INLINE_BYTES, MAX_INLINE_PIXELS)
        deadline = time.monotonic() + settings.timeout
        try:
            async with asyncio.timeout(settings.timeout):
                loop = asyncio.get_running_loop()
                bulk, threads = places.bulk, places.explanations if is_slow else places.threads
                if len(body) <= BULK_BYTES:
                    with contextlib.suppress(BytesExceeded, PixelsExceeded):
                        return await loop.run_in_executor(threads, self._answer, call, body, BULK_BYTES, BULK_PIXELS)
                return await loop.run_in_executor(bulk.thread, bulk.answer, call, body, deadline)
        except TimeoutError:
            detail = f"no answer within {settings.timeout:g} seconds"
            raise Problem(504, detail, headers={"Retry-After": "1"}) from None

    def _answer(self, call: Call, body: bytes, max_bytes: int, max_pixels: int) -> ModelResponse:
        return answer(self._model, self._route, call, body, self._settings.max_body_bytes, max_bytes, max_pixels)


async def _respond(content: ModelResponse, send: Send) -> None:
    """Send the same messages as Starlette's Response, which takes as long to build as a row takes to check."""
    headers = {"content-length": str(len(content.body)), "content-type": content.media_type, **(content.headers or {})}
    raw = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": 200, "headers": raw})
    await send({"type": "http.response.body", "body": content.body})


def _check_media_type(media_type: MediaType, accepted: tuple[str, ...]) -> None:
    """Refuse another media type or charset with 415."""
    if media_type.name not in accepted:
        detail = f"expected content type {' or '.join(accepted)}, received another"
        raise Problem(415, detail, headers=CLOSE_CONNECTION)
    if media_type.charset not in ("utf-8", "utf8", "us-ascii"):
        raise Problem(415, "expected charset utf-8, received another", headers=CLOSE_CONNECTION)
