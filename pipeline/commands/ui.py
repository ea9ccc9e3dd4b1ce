"""MLflow's UI over the same store that the stages write to."""

import argparse
import os
import subprocess
import sys

from contracts.errors import UserError
from pipeline.paths import var


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--port", type=int, default=5000)


def run(chosen: argparse.Namespace) -> int:
    server = os.environ.get("MLFLOW_TRACKING_URI", "")
    if server.startswith("http"):
        print(f"MLFLOW_TRACKING_URI names a server that has the UI already: {server}")
        return 0
    store = server or f"sqlite:///{var() / 'mlflow.db'}"
    if not server and not (var() / "mlflow.db").exists():
        raise UserError("there are no runs yet: run `make repro` first")
    print(f"MLflow's UI: http://127.0.0.1:{chosen.port} (Ctrl-C ends it)", flush=True)
    command = [sys.executable, "-m", "mlflow", "ui", "--backend-store-uri", store]
    command += ["--default-artifact-root", (var() / "mlflow-artifacts").as_uri()]
    command += ["--host", "127.0.0.1", "--port", str(chosen.port), "--workers", "1"]
    command += ["--uvicorn-opts", "--log-level warning"]
    # Without the warnings of the server's own libraries.
    return subprocess.run(command, env={**os.environ, "PYTHONWARNINGS": "ignore"}, check=False).returncode
