"""fetch and preprocess of generated tables, streamed, beside pandas and scikit-learn in memory, Polars as a stream and
Dask-ML; and predictions.

Each case runs in a process of its own. Its memory is that of the process and its children together, sampled from the
kernel (proportional set size: what they share counts once).
"""

import argparse
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from bench.data_rows import write_table
from bench.machine import machine
from bench.results import read, write

RESULTS = Path("bench/results/data.json")
ROWS = (100_000, 1_000_000, 3_000_000, 10_000_000)
PEERS = ("polars", "dask_ml")
SYSTEMS = ("streamed", "pandas", *PEERS, "predict")
PEER = Path("var/bench-data/peers/bin/python")  # made by `make bench-data`
BUNDLE_ROWS = 100_000  # of the table whose columns the network of the predictions has
EVERY = 0.2  # seconds between two looks at the memory


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="*", default=ROWS)
    parser.add_argument("--forms", nargs="*", default=["parquet", "csv"])
    parser.add_argument("--systems", nargs="*", default=SYSTEMS)
    parser.add_argument("--memory", type=float, help="GiB after which a case is ended, as on a machine with no more")
    parser.add_argument("--folder", type=Path, help="where the tables are made, and left; else a temporary one")
    arguments = parser.parse_args()
    report = read(RESULTS)
    with tempfile.TemporaryDirectory() as made:
        folder = arguments.folder or Path(made)
        folder.mkdir(parents=True, exist_ok=True)
        if "predict" in arguments.systems:
            write_table(folder / "bundle.parquet", BUNDLE_ROWS)
            _measured("bundle", folder / "bundle.parquet", BUNDLE_ROWS, folder / "project")
        for rows in arguments.rows:
            for form in arguments.forms:
                table = folder / f"{rows}.{form}"
                if not table.exists():
                    write_table(table, rows)
                for system in arguments.systems:
                    found = _measured(system, table, rows, folder / "project", arguments.memory)
                    where = "cases" if arguments.memory is None else f"cases_in_{arguments.memory:g}_gib"
                    report.setdefault(where, {})[f"{system} {form} {rows}"] = found
                    report["machine"] = machine("numpy", "onnxruntime", "pandas", "pyarrow", "scikit-learn")
                    write(RESULTS, report)
                    print(f"{system:9} {form:8} {rows:>11,} rows: {found}", flush=True)
                if arguments.folder is None:
                    table.unlink()


def _measured(system: str, table: Path, rows: int, project: Path, most_gib: float | None = None) -> dict[str, object]:
    """Seconds and rows a second of each step, and the peak of the memory; or how the process ended."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    case = (
        [str(PEER), "-m", "bench.peers.data_streams"] if system in PEERS else [sys.executable, "-m", "bench.data_case"]
    )
    command = [*case, system, str(table), str(project)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    peak = 0
    try:
        while process.poll() is None:
            peak = max(peak, sum(_shared_once(process.pid)))
            if most_gib is not None and peak > most_gib * 2**30:
                break
            time.sleep(EVERY)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert process.stdout is not None
    said = process.stdout.read()
    found: dict[str, object] = {"load": round(os.getloadavg()[0], 1), "peak_gib": round(peak / 2**30, 2)}
    found["cpu_seconds"] = round(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 1)
    if process.returncode:
        return {**found, "died": process.returncode}
    seconds = json.loads(said.splitlines()[-1])
    return {**found, **{f"{step}_rows_per_second": round(rows / taken) for step, taken in seconds.items()}}


def _shared_once(pid: int) -> Iterator[int]:
    """The proportional set size, in bytes, of a process and of each of its descendants."""
    try:
        for process in (psutil.Process(pid), *psutil.Process(pid).children(recursive=True)):
            rollup = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
            yield 1024 * next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
    except (psutil.NoSuchProcess, OSError):  # it has just ended
        return


if __name__ == "__main__":
    main()
