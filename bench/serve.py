"""Our service, a handler without checks, and `mlflow models serve`, measured in turns on this machine.

    DATA_MIRROR=… python -m bench.serve [--seconds 4] [--rounds 3] [--no-mlflow]

Needs wrk (Debian's package). Prints a table and writes bench/results/serve.json. No result fails it.
"""

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench.machine import machine
from bench.serve_checks import checks_seconds
from bench.serve_servers import PEERS, Running, bento, installed_mb, mlflow, start_bare, wrk
from bench.serve_tensor import as_tensor

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
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(report, indent=2) + "\n")
    print(f"written to {RESULTS}")


def _compare(name: str, folder: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    bundle = _bundle(name)
    schema = json.loads((bundle / "schema.json").read_text())
    sample = schema["sample"]["image"] if "image" in schema["sample"] else schema["sample"]
    names = [] if "image" in schema["sample"] else list(schema["sample"])
    started: list[Running] = []
    try:
        started.append(bento(name, bundle, folder / f"{name}-1"))
        started.append(start_bare(bundle / "model.onnx", names))
        for flavour in () if arguments.no_mlflow else ("onnx", "keras"):
            started.append(mlflow(flavour, bundle, folder / f"{name}-{flavour}"))
        result = _measure(started, sample, names, folder, arguments)
        print(json.dumps({key: value for key, value in result.items() if key != "measured"}, indent=1), flush=True)
        return result
    finally:
        for server in started:
            server.stop()


def _measure(
    started: list[Running], sample: Any, names: list[str], folder: Path, arguments: argparse.Namespace
) -> dict[str, Any]:
    measured: dict[str, Any] = {}
    for connections in CONNECTIONS:
        runs: dict[str, list[dict[str, float]]] = {server.name: [] for server in started}
        for _ in range(arguments.rounds):
            for server in started:
                runs[server.name].append(
                    wrk(server, _body(server, sample, names, 1), connections, arguments.seconds, folder)
                )
        for server in started:
            row = {key: statistics.median(run[key] for run in runs[server.name]) for key in runs[server.name][0]}
            rates = [run["requests_per_second"] for run in runs[server.name]]
            row["spread"] = (max(rates) - min(rates)) / max(row["requests_per_second"], 1e-9)
            measured.setdefault(server.name, {})[str(connections)] = row
            rate = f"{row['requests_per_second']:9.0f}/s ±{row['spread']:4.0%}"
            times = f"p50 {row['p50_ms']:7.2f} ms  p99 {row['p99_ms']:7.2f} ms"
            print(
                f"{server.name:14} {connections:3} connections  {rate}  {times}  errors {row['errors']:.0f}", flush=True
            )
    ours = started[0]
    ratios = {
        server.name: {c: measured["ours"][c]["requests_per_second"] / measured[server.name][c]["requests_per_second"]
                      for c in measured["ours"]} for server in started[1:]
    }  # fmt: skip
    result = {
        "measured": measured,
        "ours_over": ratios,
        "p99_over_p50_at_16": measured["ours"]["16"]["p99_ms"] / measured["ours"]["16"]["p50_ms"],
        "ready_seconds": {server.name: round(server.ready_seconds, 2) for server in started},
        "resident_mb": {server.name: round(server.resident_mb()) for server in started},
        "checks_share": checks_seconds(_bundle(ours.model), _body(ours, sample, names, 1))
        * measured["ours"]["16"]["requests_per_second"],
        "rows_per_second_of_1000_over_single": _in_bulk(ours, sample, names, folder, arguments),
        "installed_mb": round(installed_mb(folder / f"{ours.model}-1")),
    }
    two = bento(ours.model, _bundle(ours.model), folder / f"{ours.model}-2", workers=2)
    try:
        rates: dict[str, list[float]] = {"ours": [], "ours-2": []}
        for _ in range(arguments.rounds):
            for server in (ours, two):
                measured_now = wrk(server, _body(server, sample, names, 1), 16, arguments.seconds, folder)
                rates[server.name].append(measured_now["requests_per_second"])
    finally:
        two.stop()
    result["two_workers_over_one"] = statistics.median(rates["ours-2"]) / statistics.median(rates["ours"])
    return result


def _in_bulk(
    ours: Running, sample: Any, names: list[str], folder: Path, arguments: argparse.Namespace
) -> dict[str, float]:
    """Rows per second of requests of 1,000 rows over those of single rows, at the same number of connections."""
    bodies = [_body(ours, sample, names, n) for n in (1, 1000)]  # with a space after each comma, as Python writes it
    forms: dict[str, dict[str, Any]] = {
        "json": {"bodies": bodies},
        "compact json": {"bodies": [_compact(body) for body in bodies]},  # as a browser writes it
    }
    if not names:
        tensors, headers = zip(*(as_tensor(sample, n) for n in (1, 1000)), strict=True)
        forms["binary tensor"] = {"bodies": tensors, "headers": headers, "path": f"/v2/models/{ours.model}/infer"}
    ratios = {}
    for form, sent in forms.items():
        for connections in (1, 16):
            rates: tuple[list[float], list[float]] = ([], [])
            for _ in range(arguments.rounds):
                for position, body in enumerate(sent["bodies"]):
                    headers = sent["headers"][position] if "headers" in sent else None
                    run = wrk(ours, body, connections, arguments.seconds, folder, sent.get("path"), headers)
                    rates[position].append(run["requests_per_second"])
            single, many = map(statistics.median, rates)
            ratios[f"{form}, {connections} connections"] = 1000 * many / single
    return ratios


def _body(server: Running, sample: Any, names: list[str], rows: int) -> bytes:
    """The same rows in the format of each server."""
    if server.name == "mlflow-keras" or server.name == "mlflow-onnx":
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
