"""The service as an ASGI application. Imports nothing of BentoML."""

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

from serving.errors import CLOSE_CONNECTION, FAILURE, Problem, problem_response
from serving.http.bulk import BulkProcess
from serving.http.endpoint import Places, PredictEndpoint
from serving.http.middleware import RequestMiddleware
from serving.model import ModelResponse, ServedModel
from serving.openapi.description import DESCRIPTION_PATH, describe
from serving.page.routes import page_routes
from serving.protocols.routes import InfoRoute, info_routes, predict_routes
from serving.settings import Settings

THREADS = 2  # bodies that are processed at the same time: one in Python, one in the model; more would only take memory


def make_app(model: ServedModel, settings: Settings, swagger: Path, report: Path) -> ASGIApp:
    """Every protocol over one model.

    Args:
        swagger: the folder with Swagger UI's files.
        report: the file of the model's report, which may be absent.
    """
    bulk = BulkProcess(model, settings.max_body_bytes)
    places = Places(ThreadPoolExecutor(THREADS), ThreadPoolExecutor(1), bulk)
    endpoints = {route.path: PredictEndpoint(model, settings, places, route) for route in predict_routes(model)}
    routes: list[BaseRoute] = [Route(path, endpoint, methods=["POST"]) for path, endpoint in endpoints.items()]
    description = ModelResponse(orjson.dumps(describe(model)))
    description_route = InfoRoute(DESCRIPTION_PATH, "", lambda _: description)
    routes += [Route(route.path, _get_endpoint(model, route)) for route in (*info_routes(model), description_route)]
    routes += page_routes(model, report)
    paths = frozenset(route.path for route in routes if isinstance(route, Route))
    routes.append(Mount("/static_content", StaticFiles(directory=swagger)))
    handlers = {Problem: _on_problem, HTTPException: _on_http_exception(model), Exception: _on_failure}
    app = Starlette(routes=routes, exception_handlers=handlers, lifespan=_lifespan(bulk))
    app.router.redirect_slashes = False
    return RequestMiddleware(_dispatch(endpoints, app), settings, model.metrics, paths)


def _dispatch(endpoints: Mapping[str, ASGIApp], app: ASGIApp) -> ASGIApp:
    """Predictions skip Starlette's router and its middleware, which take 20 of 150 µs."""

    async def dispatch(scope: Scope, receive: Receive, send: Send) -> None:
        endpoint = endpoints.get(scope["path"]) if scope.get("method") == "POST" else None
        await (endpoint or app)(scope, receive, send)

    return dispatch


def _get_endpoint(model: ServedModel, route: InfoRoute) -> Callable:
    async def endpoint(request: Request) -> Response:
        response = route.handler(model)
        return Response(response.body, headers=response.headers, media_type=response.media_type)

    return endpoint


def _lifespan(bulk: BulkProcess) -> Callable:
    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        gc.collect()
        gc.freeze()  # collecting the application again and again stalled requests
        gc.set_threshold(50_000, 20, 100)
        yield
        bulk.end()

    return lifespan


async def _on_problem(request: Request, problem: Exception) -> Response:
    assert isinstance(problem, Problem)
    return problem_response(problem, request.url.path)


async def _on_failure(request: Request, error: Exception) -> Response:
    return problem_response(FAILURE, request.url.path)


def _on_http_exception(model: ServedModel) -> Callable:
    async def respond(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        path = request.url.path
        if error.status_code == 404 and path.startswith(("/v1/models", "/v2/models")):
            detail = f"unknown model or version: this service has {model.name} version {model.version}"
        elif error.status_code == 405:
            detail = f"expected {(error.headers or {}).get('Allow')}, received {request.method[:20]}"
        else:
            detail = f"{error.detail}: /docs lists the routes"
        # The body was not read, so the connection cannot be used again.
        headers = {**(error.headers or {}), **CLOSE_CONNECTION}
        return problem_response(Problem(error.status_code, detail, headers=headers), path)

    return respond
