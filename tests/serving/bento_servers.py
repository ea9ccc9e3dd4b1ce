"""Bentos, packaged by the stage and started by `bentoml serve`."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import httpx

from tests.ports import free_port

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
    paths.report.write_text("<title>Report</title><style></style>")
    package.run(SimpleNamespace(dataset=name, package=SimpleNamespace(workers=1)), paths)
"""


class BentoServer(NamedTuple):
    url: str
    port: int
    process: subprocess.Popen
    log: Path

    def log_text(self) -> str:
        return self.log.read_text(errors="replace")


def package(folder: Path, *names: str) -> None:
    """Package the bundles below `folder/artifacts`."""
    environment = {**os.environ, "BENTOML_HOME": str(folder / "bentoml"), "BENTOML_DO_NOT_TRACK": "true"}
    command = [sys.executable, "-c", PACKAGE, str(folder), *names]
    subprocess.run(command, cwd=ROOT, env=environment, check=True, timeout=120)


def launch(folder: Path, bento: str, **environment: str) -> BentoServer:
    """Start `bentoml serve`; it may not be ready yet."""
    port = free_port()
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
    return BentoServer(f"http://127.0.0.1:{port}", port, process, log)


def wait_until(check: Callable[[], bool], seconds: float = 100) -> None:
    """Fail if the check is not true in time."""
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline, f"not true within {seconds:g} seconds"
        time.sleep(0.05)


def is_up(server: BentoServer) -> bool:
    assert server.process.poll() is None, server.log_text()
    try:
        httpx.get(f"{server.url}/livez", timeout=2)
    except httpx.TransportError:
        return False
    return True


def stop(server: BentoServer) -> int:
    """SIGTERM, and the exit status."""
    server.process.terminate()
    return server.process.wait(timeout=30)
