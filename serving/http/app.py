"""The routes of the service as an ASGI application. Knows nothing of BentoML."""

import contextlib
import gc
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import orjson
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

from serving.errors import CLOSE, Problem, problem_response
from serving.http.endpoint import Posted
from serving.http.limits import Guard
from serving.model import Answer, Model
from serving.openapi.description import describe
from serving.page.routes import page_routes
from serving.protocols.routes import gets, posts
from serving.settings import Settings

THREADS = 2  # large bodies worked on at once: one runs Python, one may be in the model; more only take memory


def make_app(model: Model, settings: Settings, swagger: Path) -> ASGIApp:
    """Every protocol over one model.

    Args:
        swagger: the folder with Swagger UI's files.
    """
    threads = ThreadPoolExecutor(THREADS)
    posted = {post.path: Posted(model, settings, threads, post) for post in posts(model)}
    routes: list[BaseRoute] = [Route(path, endpoint, methods=["POST"]) for path, endpoint in posted.items()]
    routes += [Route(path, _got(answer)) for path, answer in gets(model).items()]
    description = orjson.dumps(describe(model))
    routes += [Route("/openapi.json", _got(lambda: Answer(description))), *page_routes(model)]
    paths = frozenset(route.path for route in routes if isinstance(route, Route))
    routes.append(Mount("/static_content", StaticFiles(directory=swagger)))
    handlers = {Problem: _answer_problem, HTTPException: _answer_http(model)}
    app = Starlette(routes=routes, exception_handlers=handlers, lifespan=_lifespan)
    app.router.redirect_slashes = False
    return Guard(_shortcut(posted, app), settings, model.meters, paths)


def _shortcut(posted: Mapping[str, ASGIApp], app: ASGIApp) -> ASGIApp:
    """A prediction goes straight to its route; the rest is Starlette's, which tries one pattern after another."""

    async def routed(scope: Scope, receive: Receive, send: Send) -> None:
        endpoint = posted.get(scope["path"]) if scope.get("method") == "POST" else None
        await (endpoint or app)(scope, receive, send)

    return routed


def _got(content: Callable[[], Answer]) -> Callable:
    async def endpoint(request: Request) -> Response:
        answer = content()
        return Response(answer.body, headers=answer.headers, media_type=answer.media_type)

    return endpoint


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
