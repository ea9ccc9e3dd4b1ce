"""The application in this process: over a client without a socket, or over a real port for sockets and browsers."""

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import httpx
import uvicorn
from bundles import make_bundle
from starlette.types import ASGIApp

from contracts.encoding import answer, encode
from contracts.schema import Schema
from serving.http.app import make_app
from serving.http.connections import uvicorn_options
from serving.metrics import RequestMetrics
from serving.model import ServedModel
from serving.predictor import Predictor
from serving.settings import Settings

DEFAULTS = Settings()
SWAGGER = Path(find_spec("bentoml").origin).parent / "_internal/server/static_content"  # type: ignore[union-attr, arg-type]


def make_model(
    schema: Schema, folder: Path, max_rows: int = 10_000, error: float = 0, timeout: float = 30.0
) -> ServedModel:
    """Version 7 of a small bundle's model.

    Args:
        error: by how much the expected prediction for the sample is wrong.
        timeout: seconds for the explanations of a request.
    """
    if not folder.exists():
        make_bundle(schema, folder)
    predictor = Predictor(folder)
    sample = encode(schema, {name: [value] for name, value in schema.sample.items()})
    expected = answer(schema, predictor.outputs(sample)).reshape(-1) + error
    metrics = RequestMetrics(schema.dataset, "7", schema.classes)
    return ServedModel(predictor, "7", expected.tolist(), max_rows, metrics, timeout)


def make_test_app(model: ServedModel, settings: Settings = DEFAULTS, report: Path = Path("none")) -> ASGIApp:
    return make_app(model, settings, SWAGGER, report)


class InProcessTransport(httpx.BaseTransport):
    """httpx.ASGITransport for a client that is not async; a third of the time of Starlette's TestClient."""

    def __init__(self, app: ASGIApp) -> None:
        self._transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        self._runner = asyncio.Runner()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return self._runner.run(self._respond(request))

    async def _respond(self, request: httpx.Request) -> httpx.Response:
        response = await self._transport.handle_async_request(request)
        return httpx.Response(response.status_code, headers=response.headers, content=await response.aread())

    def close(self) -> None:
        self._runner.close()


def client_of(app: ASGIApp) -> httpx.Client:
    return httpx.Client(transport=InProcessTransport(app), base_url="http://service")


class LiveApp(NamedTuple):
    """An application that listens on a port of this machine."""

    url: str
    port: int


@contextlib.contextmanager
def listen(app: ASGIApp, timeout: float = 30) -> Iterator[LiveApp]:
    """Run uvicorn in a thread, with the service's own protocol class.

    Args:
        timeout: seconds for the head of a request.
    """
    options = uvicorn_options(Settings(timeout=timeout))
    config = uvicorn.Config(app, port=0, lifespan="off", log_config=None, server_header=False, **options)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive(), "uvicorn did not start"
        port = server.servers[0].sockets[0].getsockname()[1]
        yield LiveApp(f"http://127.0.0.1:{port}", port)
    finally:
        server.should_exit = True
        thread.join(timeout=20)
