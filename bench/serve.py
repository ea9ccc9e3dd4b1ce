"""Our service, a handler without checks, and `mlflow models serve`, measured in turns on this machine.

    DATA_MIRROR=… python -m bench.serve [--seconds 4] [--rounds 3] [--no-mlflow]

Needs wrk (Debian's package). Prints a table and writes bench/results/serve.json. No result fails it.
"""

import argparse
import contextlib
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import tritonclient.http as tritonclient

from bench import results
from bench.machine import machine
from bench.serve_checks import checks_seconds
from bench.serve_servers import PEERS, Running, bento, installed_mb, mlflow, start_bare, wrk

RESULTS = Path("bench/results/serve.json")
CONNECTIONS = (1, 16, 64)
DISTRIBUTIONS = ("bentoml", "mlflow", "onnxruntime", "orjson", "starlette", "uvicorn", "uvloop", "httptools")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=4, help="of load in one measurement")
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each, in turns")
    parser.add_argument("--no-mlflow", action="store_true", help="without the slow MLflow servers")
    arguments = parser.parse_args()
    if not shutil.which("wrk"):
        sys.exit("bench-serve needs wrk: apt-get install wrk")
    if not arguments.no_mlflow and not PEERS.is_dir():
        sys.exit("bench-serve needs the peers: `make bench-serve` installs them, or pass --no-mlflow")
    with tempfile.TemporaryDirectory() as folder:
        report = {
            "machine": machine(*DISTRIBUTIONS),
            "models": {name: _compare(name, Path(folder), arguments) for name in ("fashion_mnist", "iris")},
        }  # fmt: skip
    results.write(RESULTS, report)
    print(f"written to {RESULTS}")


def _compare(name: str, folder: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    bundle = _bundle(name)
    sample = json.loads((bundle / "schema.json").read_text())["sample"]
    names, row = ([], sample["image"]) if "image" in sample else (list(sample), sample)
    with contextlib.ExitStack() as started:

        def start(server: Running) -> Running:
            started.callback(server.stop)
            return server

        ours = start(bento(name, bundle, folder / f"{name}-1"))
        servers = [ours, start(start_bare(bundle / "model.onnx", names))]
        for flavour in () if arguments.no_mlflow else ("onnx", "keras"):
            servers.append(start(mlflow(flavour, bundle, folder / f"{name}-{flavour}")))
        bodies = {server.name: _body(server, row, names) for server in servers}
        send = partial(wrk, seconds=arguments.seconds, folder=folder)
        measured: dict[str, dict[str, dict[str, float]]] = {server.name: {} for server in servers}
        for connections in CONNECTIONS:
            runs = {server.name: partial(send, server.url, bodies[server.name], connections) for server in servers}
            for server, figures in _in_turns(arguments.rounds, runs).items():
                measured[server][str(connections)] = figures
                print(server, connections, "connections", json.dumps(figures), flush=True)
        at_16 = measured["ours"]["16"]
        result = {
            "ours_over": {
                server: {c: measured["ours"][c]["requests_per_second"] / figures[c]["requests_per_second"]
                         for c in figures} for server, figures in measured.items() if server != "ours"
            },
            "p99_over_p50_at_16": at_16["p99_ms"] / at_16["p50_ms"],
            "ready_seconds": {server.name: round(server.ready_seconds, 2) for server in servers},
            "resident_mb": {server.name: round(server.resident_mb()) for server in servers},
            "checks_share": checks_seconds(bundle, bodies["ours"]) * at_16["requests_per_second"],
            "rows_per_second_of_1000_over_single": _in_bulk(ours, name, row, names, send, arguments.rounds),
            "installed_mb": round(installed_mb(folder / f"{name}-1")),
        }  # fmt: skip
        two = start(bento(name, bundle, folder / f"{name}-2", workers=2))
        runs = {server.name: partial(send, server.url, bodies["ours"], 16) for server in (ours, two)}
        turns = _in_turns(arguments.rounds, runs)
        result["two_workers_over_one"] = turns["ours-2"]["requests_per_second"] / turns["ours"]["requests_per_second"]
    print(json.dumps(result, indent=1), flush=True)
    return {"measured": measured, **result}


def _in_turns(rounds: int, runs: dict[str, Callable[[], dict[str, float]]]) -> dict[str, dict[str, float]]:
    """Medians over the rounds, and the spread of the rates; each round runs everything once."""
    found: dict[str, list[dict[str, float]]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            found[name].append(run())
    medians = {}
    for name, figures in found.items():
        medians[name] = {key: statistics.median(each[key] for each in figures) for key in figures[0]}
        rates = [each["requests_per_second"] for each in figures]
        medians[name]["spread"] = (max(rates) - min(rates)) / max(medians[name]["requests_per_second"], 1e-9)
    return medians


def _in_bulk(ours: Running, model: str, row: Any, names: list[str], send: Callable, rounds: int) -> dict[str, float]:
    """Rows per second of requests of 1,000 rows over those of single rows, at the same number of connections."""
    forms: dict[str, dict[int, Callable]] = {"json": {}, "compact json": {}, "binary tensor": {}}
    for n in (1, 1000):
        body = _body(ours, row, names, n)  # with a space after each comma, as Python writes it
        forms["json"][n] = partial(send, ours.url, body)
        forms["compact json"][n] = partial(send, ours.url, _compact(body))  # as a browser writes it
        if not names:
            pixels = np.tile(np.array(row, dtype=np.uint8), (n, 1, 1))
            tensor = tritonclient.InferInput("image", pixels.shape, "UINT8").set_data_from_numpy(pixels)
            body, head_length = tritonclient.InferenceServerClient.generate_request_body([tensor])
            headers = {
                "Content-Type": "application/octet-stream", "Inference-Header-Content-Length": str(head_length)
            }  # fmt: skip
            url = f"http://127.0.0.1:{ours.port}/v2/models/{model}/infer"
            forms["binary tensor"][n] = partial(send, url, body, headers=headers)
    ratios = {}
    for form, sends in forms.items():
        for connections in (1, 16) if sends else ():
            runs = {str(n): partial(send_rows, connections=connections) for n, send_rows in sends.items()}
            turns = _in_turns(rounds, runs)
            many, single = (turns[n]["requests_per_second"] for n in ("1000", "1"))
            ratios[f"{form}, {connections} connections"] = 1000 * many / single
    return ratios


def _body(server: Running, sample: Any, names: list[str], rows: int = 1) -> bytes:
    """The same rows in the format of each server."""
    if server.name.startswith("mlflow"):
        flat = [sample[name] for name in names] if names else [value for line in sample for value in line]
        return json.dumps({"inputs": [[float(value) for value in flat]] * rows}).encode()
    return json.dumps({"instances": [sample] * rows}).encode()


def _compact(body: bytes) -> bytes:
    return json.dumps(json.loads(body), separators=(",", ":")).encode()


def _bundle(name: str) -> Path:
    """The iris bundle of `make repro`, or the other one, made here once."""
    if name == "iris":
        return Path("artifacts/iris/bundle").absolute()
    folder = Path("var/bench-serve") / name
    if not (folder / "manifest.json").is_file():
        subprocess.run([sys.executable, "-m", "bench.serve_model", str(folder)], check=True, timeout=300)
    return folder.absolute()


if __name__ == "__main__":
    main()
