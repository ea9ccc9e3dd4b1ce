"""The HTTP routes over a predictor, as a Starlette application. Knows nothing of BentoML."""

import orjson
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from serving.openapi import describe, docs_page
from serving.predictor import Predictor
from serving.problems import Problem, problem_response
from serving.requests import parse_instances


def make_app(predictor: Predictor, version: str) -> Starlette:
    """The routes of one model.

    Args:
        version: what the answers call the model's version.
    """
    schema, manifest = predictor.schema, predictor.manifest
    model = {"name": schema.dataset, "version": version}
    description = orjson.dumps(describe(schema, manifest))
    information = orjson.dumps({"model": model, "schema": schema.model_dump(), "manifest": manifest.model_dump()})
    page = docs_page(schema)

    async def predict(request: Request) -> Response:
        kind = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise Problem(415, f"expected content type application/json, received {kind[:80]}")
        answers = predictor.answers(parse_instances(schema, await request.body()))
        return _json(orjson.dumps({"predictions": answers, "model": model}))

    async def info(request: Request) -> Response:
        return _json(information)

    async def openapi(request: Request) -> Response:
        return _json(description)

    async def docs(request: Request) -> Response:
        return HTMLResponse(page)

    return Starlette(
        routes=[
            Route("/predict", predict, methods=["POST"]),
            Route("/info", info),
            Route("/openapi.json", openapi),
            Route("/docs", docs),
        ],
        exception_handlers={Problem: _answer_problem, HTTPException: _answer_http, Exception: _answer_bug},
    )


def _json(body: bytes) -> Response:
    return Response(body, media_type="application/json")


async def _answer_problem(request: Request, problem: Exception) -> Response:
    assert isinstance(problem, Problem)
    return problem_response(problem, request.url.path)


async def _answer_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    detail = f"{request.method} {request.url.path}: {error.detail}"
    return problem_response(Problem(error.status_code, detail, headers=dict(error.headers or {})), request.url.path)


async def _answer_bug(request: Request, error: Exception) -> Response:
    return problem_response(Problem(500, "the service failed; its log says more"), request.url.path)
