"""The routes of every protocol: path, content types, handler, and what OpenAPI says about them."""

from collections.abc import Callable
from enum import Enum
from typing import Any, NamedTuple

import orjson
from prometheus_client import CONTENT_TYPE_LATEST

from serving.model import ModelResponse, ServedModel
from serving.protocols import mlflow_scoring, open_inference, predict, tensorflow_serving

JSON = ("application/json",)
JSON_OR_CSV = ("application/json", "text/csv")
JSON_OR_IMAGE = ("application/json", "image/png", "image/jpeg", "multipart/form-data")
JSON_OR_BINARY = ("application/json", "application/octet-stream")


class Protocol(Enum):
    """The value is the name in the API's description."""

    PREDICT = "Predict"
    TENSORFLOW_SERVING = "TensorFlow Serving"
    OPEN_INFERENCE = "Open Inference Protocol"
    MLFLOW_SCORING = "MLflow scoring"


class PredictRoute(NamedTuple):
    """A route that predicts: `handler` takes the model, the body and its media type."""

    path: str
    protocol: Protocol
    content_types: tuple[str, ...]
    handler: Callable[..., ModelResponse]
    takes_query: bool = False  # as a fourth argument of the handler, in bytes
    takes_json_length: bool = False  # the header Inference-Header-Content-Length, as a fourth argument


class InfoRoute(NamedTuple):
    """A GET route. With `needs_ready` it answers 503 until the model is ready."""

    path: str
    summary: str
    handler: Callable[[ServedModel], ModelResponse]
    is_text: bool = False
    needs_ready: bool = False


def predict_routes(model: ServedModel) -> list[PredictRoute]:
    """The routes that predict, the most frequent ones first."""
    is_image = model.schema.image is not None
    v1, v2 = f"/v1/models/{model.name}", f"/v2/models/{model.name}"
    routes = [
        PredictRoute(
            "/predict", Protocol.PREDICT, JSON_OR_IMAGE if is_image else JSON_OR_CSV, predict.predict, takes_query=True
        ),
        PredictRoute(
            "/invocations", Protocol.MLFLOW_SCORING, JSON if is_image else JSON_OR_CSV, mlflow_scoring.invocations
        ),
    ]
    for suffix in ("", f"/versions/{model.version}"):
        routes += [
            PredictRoute(f"{v1}{suffix}:predict", Protocol.TENSORFLOW_SERVING, JSON, tensorflow_serving.predict),
            PredictRoute(
                f"{v2}{suffix}/infer",
                Protocol.OPEN_INFERENCE,
                JSON_OR_BINARY,
                open_inference.infer,
                takes_json_length=True,
            ),
        ]
    return routes


def info_routes(model: ServedModel) -> list[InfoRoute]:
    """The routes that describe the service and the model."""
    v1, v2 = f"/v1/models/{model.name}", f"/v2/models/{model.name}"
    tensorflow, inference = Protocol.TENSORFLOW_SERVING.value, Protocol.OPEN_INFERENCE.value
    mlflow_ready = f"{Protocol.MLFLOW_SCORING.value}: ready?"
    routes = [
        InfoRoute("/livez", "Is the process alive?", _live),
        InfoRoute("/readyz", "Did the model answer its sample correctly?", _ready, needs_ready=True),
        InfoRoute("/metrics", "Counters for Prometheus", _metrics, is_text=True),
        InfoRoute("/info", "The schema, and where the model comes from", _json(information)),
        InfoRoute("/ping", mlflow_ready, _ready, needs_ready=True),
        InfoRoute("/health", mlflow_ready, _ready, needs_ready=True),
        InfoRoute("/version", "MLflow scoring: the MLflow version that tracked the model", _mlflow_version, True),
        InfoRoute("/v2", f"{inference}: the server", _json(open_inference.server_metadata)),
        InfoRoute("/v2/health/live", f"{inference}: is the process alive?", _live),
        InfoRoute("/v2/health/ready", f"{inference}: ready?", _ready, needs_ready=True),
    ]
    for suffix in ("", f"/versions/{model.version}"):
        routes += [
            InfoRoute(f"{v1}{suffix}", f"{tensorflow}: status", _json(tensorflow_serving.status)),
            InfoRoute(f"{v1}{suffix}/metadata", f"{tensorflow}: signature", _json(tensorflow_serving.metadata)),
            InfoRoute(f"{v2}{suffix}", f"{inference}: the model", _json(open_inference.model_metadata)),
            InfoRoute(f"{v2}{suffix}/ready", f"{inference}: is the model ready?", _model_ready, needs_ready=True),
        ]
    return routes


def information(model: ServedModel) -> dict[str, Any]:
    """`GET /info`: the model's name and version, its schema, and its manifest."""
    identity = {"name": model.name, "version": model.version}
    return {"model": identity, "schema": model.schema.model_dump(), "manifest": model.manifest.model_dump()}


def _json(describe: Callable[[ServedModel], dict[str, Any]]) -> Callable[[ServedModel], ModelResponse]:
    return lambda model: ModelResponse(orjson.dumps(describe(model)))


def _live(model: ServedModel) -> ModelResponse:
    return ModelResponse(b'{"live":true}')


def _ready(model: ServedModel) -> ModelResponse:
    model.check_ready()
    return ModelResponse(b'{"ready":true}')


def _model_ready(model: ServedModel) -> ModelResponse:
    model.check_ready()
    return ModelResponse(orjson.dumps({"name": model.name, "ready": True}))


def _metrics(model: ServedModel) -> ModelResponse:
    return ModelResponse(model.metrics.to_text(), CONTENT_TYPE_LATEST)


def _mlflow_version(model: ServedModel) -> ModelResponse:
    return ModelResponse(model.manifest.versions.get("mlflow", "unknown").encode(), "text/plain")
