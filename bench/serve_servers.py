"""The servers to compare, each started as its documentation says, and wrk."""

import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import NamedTuple

import psutil

PEERS = Path("var/bench-serve/peers").absolute()  # made by `make bench-serve`
PACKAGE = """
import json, sys
from pathlib import Path
from types import SimpleNamespace
from pipeline.paths import Paths
from pipeline.stages import package
name, folder, workers = sys.argv[1:]
workers = int(workers)
package.run(SimpleNamespace(dataset=name, package=SimpleNamespace(workers=workers)), Paths(name, Path(folder)))
"""
SAVE = """
import sys
flavour, bundle, target = sys.argv[1:]
if flavour == "onnx":
    import mlflow.onnx, onnx
    mlflow.onnx.save_model(onnx.load(f"{bundle}/model.onnx"), target, pip_requirements=["onnxruntime"])
else:
    import keras, mlflow.keras, numpy as np
    from models.network import build
    model = keras.models.load_model(f"{bundle}/model.keras", compile=False)
    signature = mlflow.models.infer_signature(np.zeros((1, model.input_shape[1]), np.float32))
    mlflow.keras.save_model(model, target, pip_requirements=["keras"], signature=signature)
"""
LUA = """
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
{headers}
local file = io.open("{body}", "r")
wrk.body = file:read("*a")
"""


class Running(NamedTuple):
    """A running server. `path` is its route that predicts."""

    name: str
    port: int
    path: str
    process: subprocess.Popen
    ready_seconds: float

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}{self.path}"

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()

    def resident_mb(self) -> float:
        """Resident memory of the largest process, which is the worker."""
        server = psutil.Process(self.process.pid)
        return max(process.memory_info().rss for process in [server, *server.children(recursive=True)]) / 2**20


def bento(name: str, bundle: Path, folder: Path, workers: int = 1) -> Running:
    """Our packaged Bento; `folder` keeps it and its store."""
    artifacts = folder / "artifacts" / name
    shutil.copytree(bundle, artifacts / "bundle")
    (artifacts / "selection.json").write_text(json.dumps({"version": "1"}))
    (artifacts / "report.html").write_text("<style></style>")
    environment = {"BENTOML_HOME": str(folder / "bentoml"), "BENTOML_DO_NOT_TRACK": "true"}
    command = [sys.executable, "-c", PACKAGE, name, str(folder), str(workers)]
    subprocess.run(command, check=True, timeout=120, env={**os.environ, **environment}, stdout=subprocess.DEVNULL)
    port = _port()
    command = [sys.executable, "-m", "bentoml", "serve", f"{name}:latest", "--port", str(port)]
    label = "ours" if workers == 1 else f"ours-{workers}"
    return _start(label, port, f"/v1/models/{name}:predict", "/readyz", command, environment)


def installed_mb(folder: Path) -> float:
    """The size on disk of the Bento in a folder and of the packages that it requires."""
    (requirements,) = (folder / "bentoml/bentos").glob("*/*/env/python/requirements.txt")
    target = folder / "installed"
    command = ["uv", "pip", "install", "--quiet", "--python", sys.executable, "--target", str(target)]
    subprocess.run([*command, "-r", str(requirements)], check=True, timeout=300)
    files = [*target.rglob("*"), *requirements.parents[2].rglob("*")]
    return sum(path.stat().st_size for path in files if path.is_file() and not path.is_symlink()) / 2**20


def start_bare(model: Path, names: list[str]) -> Running:
    """The handler without checks."""
    port = _port()
    return _start(
        "bare", port, "/predict", "/livez", [sys.executable, "-m", "bench.serve_bare", str(model), str(port), *names]
    )


def mlflow(flavour: str, bundle: Path, target: Path) -> Running:
    """`mlflow models serve` of the same network, from the peers' own environment."""
    folders = [os.getcwd(), *([f"{os.getcwd()}/bench/peers"] if flavour == "keras" else [])]
    here = {"PYTHONPATH": os.pathsep.join(folders), "PATH": f"{PEERS / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    python = str(PEERS / "bin/python")
    command = [python, "-c", SAVE, flavour, str(bundle), str(target)]
    subprocess.run(command, check=True, timeout=300, env={**os.environ, **here}, stderr=subprocess.DEVNULL)
    port = _port()
    command = [python, "-m", "mlflow", "models", "serve", "-m", str(target), "-p", str(port), "--env-manager", "local"]
    return _start(f"mlflow-{flavour}", port, "/invocations", "/ping", command, here)


def wrk(
    url: str, body: bytes, connections: int, seconds: int, folder: Path,
    headers: dict[str, str] | None = None, more_lua: str = "",
) -> dict[str, float]:  # fmt: skip
    """Requests per second, p50 and p99 in milliseconds, failed requests: a body sent again and again by wrk.

    Args:
        folder: for the body and for wrk's script, to which `more_lua` is added.
    """
    (folder / "body").write_bytes(body)
    lines = "\n".join(f'wrk.headers["{name}"] = "{value}"' for name, value in (headers or {}).items())
    (folder / "post.lua").write_text(LUA.format(body=folder / "body", headers=lines) + more_lua)
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "--timeout", "10s", "-s"]
    done = subprocess.run(
        [*command, str(folder / "post.lua"), url], capture_output=True, text=True, check=True, timeout=seconds + 60
    )
    failures = re.findall(r"(?:Non-2xx or 3xx responses|Socket errors): (.*)", done.stdout)
    return {
        "requests_per_second": float(re.findall(r"Requests/sec:\s+([\d.]+)", done.stdout)[0]),
        "p50_ms": _milliseconds(done.stdout, "50%"),
        "p99_ms": _milliseconds(done.stdout, "99%"),
        "errors": sum(int(n) for n in re.findall(r"\d+", " ".join(failures))),
    }


def _milliseconds(text: str, share: str) -> float:
    number, unit = re.findall(rf"{share}\s+([\d.]+)(us|ms|s)", text)[0]
    return float(number) * {"us": 1e-3, "ms": 1, "s": 1e3}[unit]


def _start(name: str, port: int, path: str, ready: str, command: list[str], environment: dict | None = None) -> Running:
    started = time.monotonic()
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, **(environment or {})}
    )
    while time.monotonic() < started + 120:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}{ready}", timeout=5):
            return Running(name, port, path, process, time.monotonic() - started)
        if process.poll() is not None:
            break
        time.sleep(0.02)
    process.terminate()
    raise SystemExit(f"{name} did not start: {' '.join(command)}")


def _port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
