"""OpenAPI 3.1 for every route."""

from typing import Any

from serving.model import ServedModel
from serving.openapi.operations import components, predict_operation
from serving.openapi.problems import PROBLEM, problem_responses
from serving.protocols.routes import info_routes, predict_routes

DESCRIPTION_PATH = "/openapi.json"
WITHOUT_KEY = ("/livez", "/readyz")
EVERY_ROUTE, KEYS, PREDICT = (405, 429), (401, 403), (400, 408, 413, 415, 503, 504)  # statuses


def describe(model: ServedModel) -> dict[str, Any]:
    """The description of one model's service."""
    manifest = model.manifest
    paths: dict[str, Any] = {}
    for predict_route in predict_routes(model):
        operation = predict_operation(model, predict_route)
        operation["responses"] |= problem_responses(*PREDICT, *EVERY_ROUTE, *KEYS)
        paths[predict_route.path] = {"post": {**operation, "operationId": _identifier("post", predict_route.path)}}
    for route in info_routes(model):
        paths[route.path] = {"get": _get_operation(route.path, route.summary, route.is_text, route.needs_ready)}
    paths[DESCRIPTION_PATH] = {"get": _get_operation(DESCRIPTION_PATH, "This description")}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": f"{model.name}: {model.schema.task}",
            "version": model.version,
            "description": f"Predicts {model.schema.target.name}. {manifest.made_of.capitalize()} of study "
            f"{manifest.study}, trained at {manifest.git_revision}.",
        },
        "servers": [{"url": "."}],
        "security": [{}, {"bearer": []}, {"header": []}],
        "paths": paths,
        "components": {
            "schemas": {"Problem": PROBLEM, **components(model)},
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            },
        },
    }


def _get_operation(path: str, summary: str, is_text: bool = False, needs_ready: bool = False) -> dict[str, Any]:
    media_type, json_type = ("text/plain", "string") if is_text else ("application/json", "object")
    statuses = [*EVERY_ROUTE, *([503] if needs_ready else []), *(() if path in WITHOUT_KEY else KEYS)]
    ok = {
        "description": "What the summary says",
        "content": {media_type: {"schema": {"type": json_type}}},
    }
    return {
        "summary": summary,
        "operationId": _identifier("get", path),
        "responses": {"200": ok, **problem_responses(*statuses)},
    }


def _identifier(method: str, path: str) -> str:
    return method + "".join(character if character.isalnum() else "_" for character in path)
