"""OpenAPI 3.1 for every route."""

from typing import Any

from serving.model import Model
from serving.openapi import bodies
from serving.openapi.problem import PROBLEM, REASONS
from serving.protocols.routes import gets, posts

SUMMARIES = {
    "/livez": "Is the process alive?",
    "/readyz": "Did the model answer its sample correctly?",
    "/metrics": "Counters for Prometheus",
    "/info": "The schema, and where the model comes from",
    "/version": "MLflow scoring: the MLflow version that tracked the model",
    "/ping": "MLflow scoring: ready?",
    "/health": "MLflow scoring: ready?",
    "/v2": "Open Inference Protocol: the server",
}
TEXT = {"/metrics", "/version"}
READINESS = ("/readyz", "/ping", "/health", "/v2/health/ready")
OPEN = ("/livez", "/readyz")
PREDICT = ("400", "408", "413", "415", "503", "504")
ALL = ("405", "429")
KEYS = ("401", "403")


def describe(model: Model) -> dict[str, Any]:
    """The description of one model's service."""
    manifest = model.manifest
    paths: dict[str, Any] = {}
    for post in posts(model):
        operation = bodies.operation(model, post.path)
        responses = {"200": operation.pop("answer"), **_problems(*PREDICT, *ALL, *KEYS)}
        paths[post.path] = {
            "post": {**operation, "operationId": _identifier("post", post.path), "responses": responses}
        }
    for path in [*gets(model), "/openapi.json"]:
        paths[path] = {"get": _get(path)}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": f"{model.name}: {model.schema.task}",
            "version": model.version,
            "description": f"Predicts {model.schema.target.name}. Trial {manifest.trial} of study {manifest.study}, "
            f"trained at {manifest.git_revision}.",
        },
        "servers": [{"url": "."}],
        "security": [{}, {"bearer": []}, {"header": []}],
        "paths": paths,
        "components": {
            "schemas": {"Problem": PROBLEM, **bodies.components(model)},
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            },
        },
    }


def _get(path: str) -> dict[str, Any]:
    content = (
        {"text/plain": {"schema": {"type": "string"}}}
        if path in TEXT
        else {"application/json": {"schema": {"type": "object"}}}
    )
    statuses = list(ALL)
    if path in READINESS or path.endswith("/ready"):
        statuses.append("503")
    if path not in OPEN:
        statuses += KEYS
    summary = SUMMARIES.get(path) or ("Open Inference Protocol" if path.startswith("/v2") else "TensorFlow Serving")
    if path == "/openapi.json":
        summary = "This description"
    return {
        "summary": summary,
        "operationId": _identifier("get", path),
        "responses": {"200": {"description": "As described", "content": content}, **_problems(*statuses)},
    }


def _identifier(verb: str, path: str) -> str:
    return verb + "".join(part if part.isalnum() else "_" for part in path)


def _problems(*statuses: str) -> dict[str, Any]:
    body = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    answers = {}
    for status in statuses:
        names = {"401": ("WWW-Authenticate",), "405": ("Allow",), "429": ("Retry-After",), "503": ("Retry-After",)}
        headers = {name: {"schema": {"type": "string"}} for name in names.get(status, ())}
        answers[status] = {"description": REASONS[status], "headers": headers, "content": body}
    return answers
