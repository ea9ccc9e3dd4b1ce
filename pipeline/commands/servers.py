"""ui, dashboard, tensorboard, scheduler, serve and predict: servers on a port of this machine, and a request to one."""

import errno
import fcntl
import json
import os
import shlex
import socket
import subprocess
import sys
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Annotated, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import typer

from contracts.errors import UserError, count
from contracts.schema import load_schema
from contracts.settings.load import load_params
from pipeline.packaged_bento import packaged_bento, unpack
from pipeline.paths import Paths, var

PARAMS = Path("params.yaml")
Port = Annotated[int, typer.Option(min=0, max=65535, help="0 = any free port")]
app = typer.Typer()


@app.command()
def ui(port: Port = 5000) -> None:
    """Start MLflow's UI over the tracked runs."""
    server = os.environ.get("MLFLOW_TRACKING_URI", "")
    if server.startswith("http"):
        print(f"MLFLOW_TRACKING_URI names a server that has the UI already: {server}")
        return
    store = server or f"sqlite:///{var() / 'mlflow.db'}"
    if not server and not (var() / "mlflow.db").exists():
        raise UserError("there are no runs yet: run `make repro` first")
    from pipeline.tracking.databases import check_usable

    check_usable(store, "MLFLOW_TRACKING_URI", table="experiments")
    port = _free(port, "make ui UI_PORT=5001")
    print(f"MLflow's UI: http://127.0.0.1:{port} (Ctrl-C ends it)", flush=True)
    command = [sys.executable, "-m", "mlflow", "ui", "--backend-store-uri", store]
    command += ["--default-artifact-root", (var() / "mlflow-artifacts").as_uri()]
    command += ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--uvicorn-opts", "--log-level warning"]
    # Without the warnings of the server's own libraries, and without eight processes for jobs of generative AI.
    quiet = {"PYTHONWARNINGS": "ignore", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    raise typer.Exit(subprocess.run(command, env={**quiet, **os.environ}, check=False).returncode)


@app.command()
def dashboard(port: Port = 8080) -> None:
    """Start Optuna's dashboard over the studies."""
    from pipeline.search.studies import open_storage

    storage = open_storage()
    port = _free(port, "make dashboard DASHBOARD_PORT=8081")
    from optuna_dashboard import wsgi  # takes seconds

    class Server(ThreadingMixIn, WSGIServer):
        daemon_threads = True

    class Quiet(WSGIRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            """A line per request would hide what is worth reading."""

    # In this process: on the command line of another one, the password of a database could be seen by everyone.
    with make_server("127.0.0.1", port, wsgi(storage), Server, Quiet) as server:
        print(f"Optuna's dashboard: http://127.0.0.1:{port} (Ctrl-C ends it)", flush=True)
        server.serve_forever()


@app.command()
def tensorboard(dataset: str, port: Port = 6006) -> None:
    """Start TensorBoard with the learning curves of all tracked trials."""
    load_params(PARAMS, dataset)
    folder = var() / "tensorboard" / dataset
    n_runs = _write_curves(dataset, folder)
    if not n_runs:
        raise UserError(f"there are no finished trials of {dataset} yet: run `make repro DATASETS={dataset}` first")
    port = _free(port, f"make tensorboard DATASET={dataset} TENSORBOARD_PORT=6007")
    print(f"{dataset}: the curves of {count(n_runs, 'trial')} are in {folder}", flush=True)
    print(f"TensorBoard: http://127.0.0.1:{port} (Ctrl-C ends it)", flush=True)
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(folder), "--port", str(port)]
    # Its own greeting, and its lines about TensorFlow, would hide ours.
    done = subprocess.run([*command, "--host", "127.0.0.1"], stderr=subprocess.DEVNULL, check=False)
    raise typer.Exit(done.returncode)


def _write_curves(dataset: str, folder: Path) -> int:
    """Write the curves of the trials that are not in the folder yet; returns the number of trials."""
    from pipeline.tracking import runs

    client, experiment = runs.connect(dataset)
    ended = {name: curves for name, curves in runs.learning_curves(client, experiment) if curves}
    new = {name: curves for name, curves in ended.items() if not (folder / name).exists()}
    if new:
        from models.training.formats import write_events  # imports TensorFlow

        for name, curves in new.items():
            write_events(curves, folder / name)
    return len(ended)


@app.command()
def scheduler(port: Port = 8786, host: str = "127.0.0.1") -> None:
    """Start a Dask scheduler, whose workers train, preprocess and predict."""
    port = _free(port, "make scheduler SCHEDULER_PORT=8787", host)
    address = f"tcp://{host}:{port}"
    print(f"Dask scheduler: {address} (Ctrl-C ends it); next, make worker SCHEDULER={address}", flush=True)
    command = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", host, "--port", str(port)]
    os.execv(sys.executable, [*command, "--no-dashboard"])


@app.command()
def serve(dataset: str, port: Port = 3000, host: str = "127.0.0.1") -> None:
    """Serve the packaged Bento with BentoML."""
    load_params(PARAMS, dataset)
    bento = packaged_bento(Paths(dataset))
    port = _free(port, f"make serve DATASET={dataset} PORT=3001", host)
    folder = var() / "serving" / str(port)
    folder.parent.mkdir(parents=True, exist_ok=True)
    lock = os.open(f"{folder}.lock", os.O_CREAT | os.O_RDWR)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise UserError(f"port {port}: another `make serve` has it; choose another one: PORT=3001") from None
    unpack(bento, dataset, folder)
    os.set_inheritable(lock, True)  # the server keeps it
    print(f"{dataset}: http://{host}:{port} (Ctrl-C ends it), description at /docs", flush=True)
    # This process becomes the server, so that signals reach it.
    os.execvp("bentoml", ["bentoml", "serve", str(folder), "--host", host, "--port", str(port)])


@app.command()
def predict(dataset: str, port: Port = 3000) -> None:
    """Send the schema's sample to the running service, and show the answer."""
    import requests

    load_params(PARAMS, dataset)
    path = Paths(dataset).bundle / "schema.json"
    if not path.exists():
        raise UserError(f"{path} is missing: run `make repro DATASETS={dataset}` first")
    schema = load_schema(path)
    sample = schema.sample[schema.image.name] if schema.image else schema.sample
    address, body = f"http://127.0.0.1:{port}/predict", json.dumps({"instances": [sample]})
    try:
        answer = requests.post(address, data=body, headers={"Content-Type": "application/json"}, timeout=30)
    except requests.Timeout:
        raise UserError(f"{address} does not answer within 30 s") from None
    except requests.RequestException:
        raise UserError(
            f"nothing answers at {address}: run `make serve DATASET={dataset}` in another terminal"
        ) from None
    try:
        received = answer.json()
        served = received["model"]["name"] if answer.ok else dataset
    except (ValueError, LookupError, TypeError):
        served = "another program"
    if served != dataset:
        raise UserError(
            f"port {port}: expected the service of {dataset}, received an answer of {served}: run "
            f"`make serve DATASET={dataset} PORT={port + 1}` in another terminal, and this command with that PORT"
        )
    shown = body if len(body) < 500 else body[:200] + "…"
    print(f"curl {address} -H 'content-type: application/json' -d {shlex.quote(shown)}")
    print(json.dumps(received, indent=2, ensure_ascii=False))
    if not answer.ok:
        raise UserError(f"the service answered {answer.status_code}; does it serve {dataset}?")


def _free(port: int, another: str, host: str = "127.0.0.1") -> int:
    """The port, or a free one for 0. A port on which a server cannot listen is refused."""
    try:
        with socket.socket() as listening:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the servers do, after a restart
            listening.bind((host, port))
            return int(listening.getsockname()[1])
    except OSError as error:
        if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
            raise UserError(f"HOST: expected an address of this machine, received {host!r}") from None
        raise UserError(f"port {port}: {error.strerror}; choose another one: {another}") from None
