"""Bentos packaged by the stage and started by `bentoml serve`, as a user does."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import httpx

ROOT = Path(__file__).parents[2]
PACKAGE = """
import json, sys
from pathlib import Path
from types import SimpleNamespace
from pipeline.paths import Paths
from pipeline.stages import package
for name in sys.argv[2:]:
    paths = Paths(name, Path(sys.argv[1]))
    paths.selection.write_text(json.dumps({"version": "7"}))
    package.run(SimpleNamespace(dataset=name, package=SimpleNamespace(workers=1)), paths)
"""


class Server(NamedTuple):
    url: str
    port: int
    process: subprocess.Popen
    log: Path

    def text(self) -> str:
        return self.log.read_text(errors="replace")


def package(folder: Path, *names: str) -> None:
    """Package the bundles below `folder/artifacts`."""
    environment = {**os.environ, "BENTOML_HOME": str(folder / "bentoml"), "BENTOML_DO_NOT_TRACK": "true"}
    command = [sys.executable, "-c", PACKAGE, str(folder), *names]
    subprocess.run(command, cwd=ROOT, env=environment, check=True, timeout=120)


def launch(folder: Path, bento: str, **environment: str) -> Server:
    """Start `bentoml serve`; it may not be ready yet."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = folder / f"{port}.log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "bentoml", "serve", bento, "--port", str(port)],
            cwd=folder,
            env={
                **os.environ,
                "BENTOML_HOME": str(folder / "bentoml"),
                "BENTOML_DO_NOT_TRACK": "true",
                "PYTHONPATH": "",
                **environment,
            },
            stdout=file,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
        )
    return Server(f"http://127.0.0.1:{port}", port, process, log)


def wait_until(check: Callable[[], bool], seconds: float = 100) -> None:
    """Fails where nothing came true in time."""
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def is_up(server: Server) -> bool:
    assert server.process.poll() is None, server.text()
    try:
        httpx.get(f"{server.url}/livez", timeout=2)
    except httpx.TransportError:
        return False
    return True


def stop(server: Server) -> int:
    """SIGTERM, and the exit status."""
    server.process.terminate()
    return server.process.wait(timeout=30)
