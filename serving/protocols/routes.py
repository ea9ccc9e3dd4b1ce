"""Which path speaks which protocol."""

from collections.abc import Callable
from typing import Any, NamedTuple

import orjson
from prometheus_client import CONTENT_TYPE_LATEST

from serving.errors import Problem
from serving.model import Answer, Model
from serving.protocols import mlflow_scoring, open_inference, predict, tensorflow_serving

JSON = ("application/json",)
ROWS = ("application/json", "text/csv")


class Post(NamedTuple):
    """A route that predicts. `kinds` are the content types it takes."""

    path: str
    kinds: tuple[str, ...]
    answer: Callable[..., Answer]
    reads_headers: bool = False


def posts(model: Model) -> list[Post]:
    """The routes that predict."""
    of_rows = model.schema.image is None
    one, two = f"/v1/models/{model.name}", f"/v2/models/{model.name}"
    binary = ("application/json", "application/octet-stream")
    return [
        Post(f"{one}:predict", JSON, tensorflow_serving.predict),
        Post("/predict", predict.ROWS if of_rows else predict.IMAGES, predict.predict),
        Post(f"{two}/infer", binary, _infer, True),
        Post("/invocations", ROWS if of_rows else JSON, mlflow_scoring.invocations),
        Post(f"{one}/versions/{model.version}:predict", JSON, tensorflow_serving.predict),
        Post(f"{two}/versions/{model.version}/infer", binary, _infer, True),
    ]


def gets(model: Model) -> dict[str, Callable[[], Answer]]:
    """The routes that describe, and what each answers."""
    one, two = f"/v1/models/{model.name}", f"/v2/models/{model.name}"
    described: dict[str, Callable[[], Answer]] = {
        "/livez": lambda: _json({"live": True}),
        "/metrics": lambda: Answer(model.meters.text(), CONTENT_TYPE_LATEST),
        "/info": lambda: _json(information(model)),
        "/v2": lambda: _json(open_inference.server(model)),
        "/v2/health/live": lambda: _json({"live": True}),
        "/version": lambda: Answer(model.manifest.versions.get("mlflow", "unknown").encode(), "text/plain"),
    }
    for path in ("/readyz", "/ping", "/health", "/v2/health/ready"):
        described[path] = lambda: _ready(model, {"ready": True})
    for suffix in ("", f"/versions/{model.version}"):
        described[f"{one}{suffix}"] = lambda: _json(tensorflow_serving.status(model))
        described[f"{one}{suffix}/metadata"] = lambda: _json(tensorflow_serving.metadata(model))
        described[f"{two}{suffix}"] = lambda: _json(open_inference.metadata(model))
        described[f"{two}{suffix}/ready"] = lambda: _ready(model, {"name": model.name, "ready": True})
    return described


def information(model: Model) -> dict[str, Any]:
    """Schema and provenance, and which model this is."""
    identity = {"name": model.name, "version": model.version}
    return {"model": identity, "schema": model.schema.model_dump(), "manifest": model.manifest.model_dump()}


def _infer(model: Model, body: bytes, content_type: str, headers: Any) -> Answer:
    return open_inference.infer(model, body, content_type, headers.get("inference-header-content-length"))


def _json(document: dict[str, Any]) -> Answer:
    return Answer(orjson.dumps(document))


def _ready(model: Model, document: dict[str, Any]) -> Answer:
    if model.not_ready:
        raise Problem(503, f"the model is not ready: {model.not_ready}", headers={"Retry-After": "10"})
    return _json(document)
