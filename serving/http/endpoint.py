"""A route that predicts, from the request's head to its response."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from serving.errors import CLOSE_CONNECTION, Problem, problem_response
from serving.http.body import decompress, read_body, window_bits
from serving.model import ModelResponse, ServedModel
from serving.parsing.image_files import PixelsExceeded, limited_pixels
from serving.parsing.media_type import MediaType, parse_media_type
from serving.protocols.predict_options import may_take_long
from serving.protocols.routes import PredictRoute
from serving.settings import Settings

MAX_INLINE_BYTES = 32 * 1024  # a smaller body is answered before a thread could take it over
MAX_INLINE_PIXELS = 2**17  # of its pictures, a millisecond or two


class Lane(NamedTuple):
    """Threads for requests of at most that many bytes, decompressed, and that many pixels in their pictures."""

    threads: ThreadPoolExecutor
    max_bytes: float
    max_pixels: int


class _BytesExceeded(Exception):
    """The body has more bytes than the lane takes."""


class PredictEndpoint:
    """The ASGI application of one route. Turns a `Problem` into its response.

    Args:
        lanes: from fast to slow. A request moves on when it has too many bytes, or its pictures too many pixels, so
            that those who send small ones do not wait for large ones.
    """

    def __init__(self, model: ServedModel, settings: Settings, lanes: Sequence[Lane], route: PredictRoute) -> None:
        self._model, self._settings, self._lanes, self._route = model, settings, lanes, route

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            content = await self._predict(scope, receive)
            response = Response(content.body, headers=content.headers, media_type=content.media_type)
        except Problem as problem:
            response = problem_response(problem, scope["path"])
        except ClientDisconnect:
            response = Response(status_code=499)
        await response(scope, receive, send)

    async def _predict(self, scope: Scope, receive: Receive) -> ModelResponse:
        settings, route = self._settings, self._route
        headers = dict(reversed(scope["headers"]))  # the first of several headers with one name counts
        media_type = parse_media_type(headers.get(b"content-type", b"application/json"))
        _check_media_type(media_type, route.content_types)
        encoding = window_bits(headers)
        body = await read_body(scope, headers, receive, settings)
        query = scope["query_string"] if route.takes_query else b""
        is_slow = may_take_long(query)

        def answer(max_bytes: float, max_pixels: int) -> ModelResponse:
            content = body if encoding is None else decompress(body, encoding, settings)
            if len(content) > max_bytes:
                raise _BytesExceeded
            with limited_pixels(max_pixels):
                if route.takes_headers:
                    return route.handler(self._model, content, media_type, Headers(scope=scope))
                if route.takes_query:
                    return route.handler(self._model, content, media_type, query)
                return route.handler(self._model, content, media_type)

        if len(body) <= MAX_INLINE_BYTES and encoding is None and not is_slow:
            with contextlib.suppress(PixelsExceeded):
                return answer(MAX_INLINE_BYTES, MAX_INLINE_PIXELS)
        try:
            async with asyncio.timeout(settings.timeout):
                # Explanations take long: they wait for each other, and nobody else does.
                return await self._answer_in_thread(answer, self._lanes[-1:] if is_slow else self._lanes)
        except TimeoutError:
            detail = f"no answer within {settings.timeout:g} seconds"
            raise Problem(504, detail, headers={"Retry-After": "1"}) from None

    async def _answer_in_thread(
        self, answer: Callable[[float, int], ModelResponse], lanes: Sequence[Lane]
    ) -> ModelResponse:
        loop = asyncio.get_running_loop()
        for lane in lanes:
            with contextlib.suppress(_BytesExceeded, PixelsExceeded):
                return await loop.run_in_executor(lane.threads, answer, lane.max_bytes, lane.max_pixels)
        limit = f"at most {self._lanes[-1].max_pixels} pixels, times the scans of a JPEG, in a request"
        raise Problem(413, f"expected pictures of {limit}, received more")


def _check_media_type(media_type: MediaType, accepted: tuple[str, ...]) -> None:
    """Refuse another media type or charset with 415."""
    if media_type.name not in accepted:
        detail = f"expected content type {' or '.join(accepted)}, received another"
        raise Problem(415, detail, headers=CLOSE_CONNECTION)
    if media_type.charset not in ("utf-8", "utf8", "us-ascii"):
        raise Problem(415, "expected charset utf-8, received another", headers=CLOSE_CONNECTION)
