"""The routes of the service as an ASGI application. Knows nothing of BentoML."""

import asyncio
import contextlib
import gc
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from serving.body import read_body
from serving.guard import Guard
from serving.model import Answer, Model
from serving.openapi.description import describe
from serving.page import page_routes
from serving.pictures import give_up_after, may_hold_picture
from serving.problems import CLOSE, Problem, problem_response
from serving.protocols.catalog import Post, gets, posts
from serving.settings import Settings

INLINE = 32 * 1024  # bytes: a smaller body is answered faster than a thread takes over
THREADS = 2  # large bodies worked on at once: one runs Python, one may be in the model; more only take memory


def make_app(model: Model, settings: Settings, swagger: Path) -> ASGIApp:
    """Every protocol over one model.

    Args:
        swagger: the folder with Swagger UI's files.
    """
    threads = ThreadPoolExecutor(THREADS)
    routes: list[BaseRoute] = [
        Route(post.path, _posted(model, settings, threads, post), methods=["POST"]) for post in posts(model)
    ]
    routes += [Route(path, _got(answer)) for path, answer in gets(model).items()]
    description = orjson.dumps(describe(model))
    routes += [Route("/openapi.json", _got(lambda: Answer(description))), *page_routes(model)]
    paths = frozenset(route.path for route in routes if isinstance(route, Route))
    routes.append(Mount("/static_content", StaticFiles(directory=swagger)))
    handlers = {Problem: _answer_problem, HTTPException: _answer_http(model), ClientDisconnect: _answer_nobody}
    app = Starlette(routes=routes, exception_handlers=handlers, lifespan=_lifespan)
    app.router.redirect_slashes = False
    return Guard(app, settings, model.meters, paths)


def _posted(model: Model, settings: Settings, threads: ThreadPoolExecutor, post: Post) -> Callable:
    images = model.schema.image is not None

    def at_length(*call: Any) -> Answer:
        give_up_after(settings.seconds)
        return post.answer(*call)

    async def endpoint(request: Request) -> Response:
        content_type = request.headers.get("content-type", "application/json").lower()
        _check_content_type(content_type, post.kinds)
        body = await read_body(request, settings)
        if post.path.startswith("/predict"):  # a form's boundary is written in upper case too
            content_type = request.headers.get("content-type", content_type)
        call = (model, body, content_type, request.headers) if post.reads_headers else (model, body, content_type)
        if len(body) <= INLINE and not (images and may_hold_picture(body)):
            answer = post.answer(*call)
        else:
            try:
                async with asyncio.timeout(settings.seconds):
                    answer = await asyncio.get_running_loop().run_in_executor(threads, at_length, *call)
            except TimeoutError:
                raise Problem(504, f"no answer within {settings.seconds:g} seconds") from None
        return Response(answer.body, headers=answer.headers, media_type=answer.media_type)

    return endpoint


def _got(content: Callable[[], Answer]) -> Callable:
    async def endpoint(request: Request) -> Response:
        answer = content()
        return Response(answer.body, headers=answer.headers, media_type=answer.media_type)

    return endpoint


def _check_content_type(content_type: str, kinds: tuple[str, ...]) -> None:
    kind, _, parameters = content_type.partition(";")
    if kind.strip() not in kinds:
        raise Problem(415, f"expected content type {' or '.join(kinds)}, received another", headers=CLOSE)
    name, _, charset = parameters.strip().partition("=")
    if name == "charset" and charset.strip("\"' ") not in ("utf-8", "utf8", "us-ascii"):
        raise Problem(415, "expected charset utf-8, received another", headers=CLOSE)


@contextlib.asynccontextmanager
async def _lifespan(app: Starlette) -> AsyncIterator[None]:
    gc.collect()
    gc.freeze()  # what is there now stays; collecting through it again stalled requests
    gc.set_threshold(50_000, 20, 100)
    yield


async def _answer_problem(request: Request, problem: Exception) -> Response:
    assert isinstance(problem, Problem)
    return problem_response(problem, request.url.path)


def _answer_http(model: Model) -> Callable:
    async def answer(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        path = request.url.path
        if error.status_code == 404 and path.startswith(("/v1/models", "/v2/models")):
            detail = f"unknown model or version: this service has {model.name} version {model.version}"
        elif error.status_code == 405:
            detail = f"expected {(error.headers or {}).get('Allow')}, received {request.method[:20]}"
        else:
            detail = f"{error.detail}: /docs lists the routes"
        # The body was not read, so the connection cannot be used again.
        return problem_response(Problem(error.status_code, detail, headers={**(error.headers or {}), **CLOSE}), path)

    return answer


async def _answer_nobody(request: Request, error: Exception) -> Response:
    return Response(status_code=499)
