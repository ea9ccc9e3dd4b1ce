"""Three small models, served in this process, and one packaged as a Bento."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from apps import LiveApp, client_of, listen, make_model, make_test_app
from bento_servers import BentoServer, is_up, launch, package, stop, wait_until
from browser import open_browser
from bundles import PRICES, SCHEMAS, TICKETS, TILES, make_bundle
from selenium import webdriver

from contracts.schema import Schema


@pytest.fixture(scope="session")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a bundle of each schema."""
    folder = tmp_path_factory.mktemp("bundles")
    for schema in SCHEMAS:
        background = (
            np.full((8, 3), 5.0, np.float32) if schema is PRICES else None
        )  # the others are as of older versions
        make_bundle(schema, folder / schema.dataset, background)
    return folder


def _client(schema: Schema, bundles: Path) -> Iterator[httpx.Client]:
    with client_of(make_test_app(make_model(schema, bundles / schema.dataset))) as client:
        yield client


@pytest.fixture(scope="session")
def tickets(bundles: Path) -> Iterator[httpx.Client]:
    """A client of a model of rows with categories and missing values, in this process."""
    yield from _client(TICKETS, bundles)


@pytest.fixture(scope="session")
def tiles(bundles: Path) -> Iterator[httpx.Client]:
    """A client of a model of images, in this process."""
    yield from _client(TILES, bundles)


@pytest.fixture(scope="session")
def prices(bundles: Path) -> Iterator[httpx.Client]:
    """A client of a regression, in this process."""
    yield from _client(PRICES, bundles)


@pytest.fixture(scope="session")
def live(bundles: Path) -> Iterator[dict[str, LiveApp]]:
    """The three applications, each on a port: for browsers, sockets and clients that make their own connections."""
    with contextlib.ExitStack() as stack:
        yield {
            schema.dataset: stack.enter_context(listen(make_test_app(make_model(schema, bundles / schema.dataset))))
            for schema in SCHEMAS
        }


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    with open_browser(tmp_path_factory.mktemp("downloads")) as opened:
        yield opened


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a packaged Bento of the model of rows."""
    folder = tmp_path_factory.mktemp("serving")
    make_bundle(TICKETS, folder / "artifacts/tickets/bundle")
    package(folder, "tickets")
    return folder


@pytest.fixture(scope="session")
def bento(home: Path) -> Path:
    """The packaged Bento's folder."""
    (latest,) = (path for path in (home / "bentoml/bentos/tickets").iterdir() if path.is_dir())
    return latest


@pytest.fixture(scope="session")
def server(home: Path) -> Iterator[BentoServer]:
    """The packaged Bento, started by `bentoml serve` with default settings."""
    started = launch(home, "tickets:latest")
    try:
        wait_until(lambda: is_up(started))
        yield started
    finally:
        stop(started)
