"""A route that predicts, from the request's head to its response."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from serving.errors import CLOSE_CONNECTION, Problem, problem_response
from serving.http.body import read_body
from serving.model import ModelResponse, ServedModel
from serving.parsing.image_files import may_contain_image_file, set_decoding_deadline
from serving.protocols.routes import PredictRoute
from serving.settings import Settings

MAX_INLINE_BYTES = 32 * 1024  # a smaller body is answered before a thread could take it over


class PredictEndpoint:
    """The ASGI application of one route. Turns a `Problem` into its response."""

    def __init__(
        self, model: ServedModel, settings: Settings, threads: ThreadPoolExecutor, route: PredictRoute
    ) -> None:
        self._model, self._settings, self._threads, self._route = model, settings, threads, route
        self._images = model.schema.image is not None

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
        handler, timeout = self._route.handler, self._settings.timeout
        headers = dict(reversed(scope["headers"]))  # the first of several headers with one name counts
        content_type = headers.get(b"content-type", b"application/json").decode("latin-1")
        _check_content_type(content_type.lower(), self._route.content_types)
        body = await read_body(scope, headers, receive, self._settings)
        arguments: tuple[Any, ...] = (self._model, body, content_type)
        if self._route.takes_headers:
            arguments = (*arguments, Headers(scope=scope))
        if len(body) <= MAX_INLINE_BYTES and not (self._images and may_contain_image_file(body)):
            return handler(*arguments)

        def predict_in_thread() -> ModelResponse:
            set_decoding_deadline(timeout)
            return handler(*arguments)

        try:
            async with asyncio.timeout(timeout):
                return await asyncio.get_running_loop().run_in_executor(self._threads, predict_in_thread)
        except TimeoutError:
            raise Problem(504, f"no answer within {timeout:g} seconds") from None


def _check_content_type(content_type: str, accepted: tuple[str, ...]) -> None:
    """Refuse another media type or charset with 415."""
    if content_type in accepted:
        return
    media_type, _, parameters = content_type.partition(";")
    if media_type.strip() not in accepted:
        detail = f"expected content type {' or '.join(accepted)}, received another"
        raise Problem(415, detail, headers=CLOSE_CONNECTION)
    name, _, charset = parameters.strip().partition("=")
    if name == "charset" and charset.strip("\"' ") not in ("utf-8", "utf8", "us-ascii"):
        raise Problem(415, "expected charset utf-8, received another", headers=CLOSE_CONNECTION)
