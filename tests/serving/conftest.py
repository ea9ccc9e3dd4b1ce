"""One Bento a kind of dataset, packaged and started once for all tests."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from bundles import SCHEMAS, make_bundle
from servers import Server, is_up, launch, package, stop, wait_until


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with packaged Bentos of all schemas."""
    folder = tmp_path_factory.mktemp("serving")
    for schema in SCHEMAS:
        make_bundle(schema, folder / "artifacts" / schema.dataset / "bundle")
    package(folder, *(schema.dataset for schema in SCHEMAS))
    return folder


@pytest.fixture(scope="session")
def servers(home: Path) -> Iterator[dict[str, Server]]:
    """A running service for each dataset."""
    started = {schema.dataset: launch(home, f"{schema.dataset}:latest") for schema in SCHEMAS}
    try:
        for server in started.values():
            wait_until(lambda server=server: is_up(server))
        yield started
    finally:
        for server in started.values():
            stop(server)


@pytest.fixture(scope="session")
def tickets(servers: dict[str, Server]) -> Iterator[httpx.Client]:
    """A client of a service of rows with categories and missing values."""
    with httpx.Client(base_url=servers["tickets"].url, timeout=30) as client:
        yield client


@pytest.fixture(scope="session")
def tiles(servers: dict[str, Server]) -> Iterator[httpx.Client]:
    """A client of a service of images."""
    with httpx.Client(base_url=servers["tiles"].url, timeout=30) as client:
        yield client


@pytest.fixture(scope="session")
def prices(servers: dict[str, Server]) -> Iterator[httpx.Client]:
    """A client of a service of a regression."""
    with httpx.Client(base_url=servers["prices"].url, timeout=30) as client:
        yield client
