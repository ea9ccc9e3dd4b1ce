"""Our service beside a handler that checks nothing and `mlflow models serve`, on this machine, in turns.

    DATA_MIRROR=… python -m bench.serve [--seconds 4] [--rounds 3] [--no-mlflow]

Needs wrk (Debian's package). Prints a table and writes bench/results/serve.json. Gates nothing.
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bench.serve_servers import Running, bento, mlflow, start_bare, wrk

RESULTS = Path("bench/results/serve.json")
CONNECTIONS = (1, 16, 64)
DISTRIBUTIONS = ("bentoml", "mlflow", "onnxruntime", "orjson", "starlette", "uvicorn", "uvloop", "httptools")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=4, help="of load in one measurement")
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each, in turns")
    parser.add_argument("--no-mlflow", action="store_true", help="leave the slow ones out")
    arguments = parser.parse_args()
    if not shutil.which("wrk"):
        sys.exit("bench-serve needs wrk: apt-get install wrk")
    with tempfile.TemporaryDirectory() as folder:
        report = {
            "machine": {"cpus": os.cpu_count(), "processor": platform.machine(), "python": platform.python_version(),
                        "load_before": os.getloadavg()[0]},
            "versions": {name: version(name) for name in DISTRIBUTIONS},
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
        started.append(bento(name, bundle, folder))
        started.append(start_bare(bundle / "model.onnx", names))
        for flavour in () if arguments.no_mlflow else ("onnx", "keras"):
            started.append(mlflow(flavour, bundle, folder / f"{name}-{flavour}"))
        return _measure(started, sample, names, folder, arguments)
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
    many = wrk(ours, _body(ours, sample, names, 1000), 1, arguments.seconds, folder)
    single = measured["ours"]["1"]["requests_per_second"]
    ratios = {
        server.name: {c: measured["ours"][c]["requests_per_second"] / measured[server.name][c]["requests_per_second"]
                      for c in measured["ours"]} for server in started[1:]
    }  # fmt: skip
    result = {
        "measured": measured,
        "ours_over": ratios,
        "rows_per_second_of_1000_over_single": many["requests_per_second"] * 1000 / single,
        "ready_seconds": {server.name: round(server.ready_seconds, 2) for server in started},
        "resident_mb": {server.name: round(server.resident_mb()) for server in started},
    }
    print(json.dumps({key: value for key, value in result.items() if key != "measured"}, indent=1), flush=True)
    return result


def _body(server: Running, sample: Any, names: list[str], rows: int) -> str:
    """The same rows as each server takes them."""
    if server.name == "mlflow-keras" or server.name == "mlflow-onnx":
        flat = [sample[name] for name in names] if names else [value for line in sample for value in line]
        return json.dumps({"inputs": [[float(value) for value in flat]] * rows})
    return json.dumps({"instances": [sample] * rows})


def _bundle(name: str) -> Path:
    """The iris bundle of `make repro`; the other is made here, once."""
    if name == "iris":
        return Path("artifacts/iris/bundle").absolute()
    folder = Path("var/bench-serve") / name
    if not (folder / "manifest.json").is_file():
        subprocess.run([sys.executable, "-m", "bench.serve_model", str(folder)], check=True, timeout=300)
    return folder.absolute()


if __name__ == "__main__":
    main()
