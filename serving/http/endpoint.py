"""A route that predicts, from the request's head to its answer."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from serving.errors import CLOSE, Problem, problem_response
from serving.http.body import read_body
from serving.model import Answer, Model
from serving.parsing.pictures import give_up_after, may_hold_picture
from serving.protocols.routes import Post
from serving.settings import Settings

INLINE = 32 * 1024  # bytes: a smaller body is answered faster than a thread takes over
JSON = (b"content-type", b"application/json")


class Posted:
    """An ASGI application of one route. Starlette's Request and Response cost more than the checks."""

    def __init__(self, model: Model, settings: Settings, threads: ThreadPoolExecutor, post: Post) -> None:
        self._model, self._settings, self._threads, self._post = model, settings, threads, post
        self._images = model.schema.image is not None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            answer = await self._answer(scope, receive)
        except Problem as problem:
            await problem_response(problem, scope["path"])(scope, receive, send)
        except ClientDisconnect:
            await Response(status_code=499)(scope, receive, send)
        else:
            if answer.media_type == "application/json" and answer.headers is None:
                headers = [(b"content-length", b"%d" % len(answer.body)), JSON]
                await send({"type": "http.response.start", "status": 200, "headers": headers})
                await send({"type": "http.response.body", "body": answer.body})
            else:
                response = Response(answer.body, headers=answer.headers, media_type=answer.media_type)
                await response(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive) -> Answer:
        post, seconds = self._post, self._settings.seconds
        headers = dict(reversed(scope["headers"]))  # the first of several counts
        content_type = headers.get(b"content-type", b"application/json").decode("latin-1")
        _check_content_type(content_type.lower(), post.kinds)
        body = await read_body(headers, receive, self._settings)
        if not post.path.startswith("/predict"):  # a form's boundary is written in upper case too
            content_type = content_type.lower()
        call: tuple[Any, ...] = (self._model, body, content_type)
        if post.reads_headers:
            call = (*call, Headers(scope=scope))
        if len(body) <= INLINE and not (self._images and may_hold_picture(body)):
            return post.answer(*call)

        def at_length() -> Answer:
            give_up_after(seconds)
            return post.answer(*call)

        try:
            async with asyncio.timeout(seconds):
                return await asyncio.get_running_loop().run_in_executor(self._threads, at_length)
        except TimeoutError:
            raise Problem(504, f"no answer within {seconds:g} seconds") from None


def _check_content_type(content_type: str, kinds: tuple[str, ...]) -> None:
    if content_type in kinds:
        return
    kind, _, parameters = content_type.partition(";")
    if kind.strip() not in kinds:
        raise Problem(415, f"expected content type {' or '.join(kinds)}, received another", headers=CLOSE)
    name, _, charset = parameters.strip().partition("=")
    if name == "charset" and charset.strip("\"' ") not in ("utf-8", "utf8", "us-ascii"):
        raise Problem(415, "expected charset utf-8, received another", headers=CLOSE)
