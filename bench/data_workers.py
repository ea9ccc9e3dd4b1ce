"""preprocess of a generated table by one Dask worker and by two, in turns: `make bench-data-workers`.

A worker has one core. The scheduler and the stage, which divides and writes the rows, run beside them.
"""

import argparse
import contextlib
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from distributed import Client

from bench.data_rows import write_table
from bench.machine import machine
from bench.results import read, write
from contracts.settings.load import Params, Source, load_params
from pipeline.paths import Paths
from pipeline.stages import fetch, preprocess

RESULTS = Path("bench/results/data.json")
PORT = 8797
ADDRESS = f"tcp://127.0.0.1:{PORT}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=3_000_000)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    seconds: dict[int, list[float]] = {1: [], 2: []}
    with tempfile.TemporaryDirectory() as made:
        table, project = Path(made) / "rows.parquet", Path(made) / "project"
        os.environ["DVC_ROOT"] = str(project)
        write_table(table, arguments.rows)
        params, paths = _params(table), Paths("mixed", root=project)
        fetch.run(params, paths)
        for repeat in range(arguments.repeats):
            for workers in (1, 2) if repeat % 2 == 0 else (2, 1):
                with _cluster(workers):
                    begun = time.perf_counter()
                    preprocess.run(params, paths)
                    seconds[workers].append(round(time.perf_counter() - begun, 1))
                print(f"{workers} workers: {seconds[workers][-1]} s", flush=True)
    medians = {workers: statistics.median(taken) for workers, taken in seconds.items()}
    report = read(RESULTS)
    report["workers"] = {
        "rows": arguments.rows,
        "seconds": {f"{workers} workers": taken for workers, taken in seconds.items()},
        "two_against_one": round(medians[1] / medians[2], 2),
        "machine": machine("distributed", "pyarrow"),
    }
    write(RESULTS, report)
    print(f"two workers against one: {report['workers']['two_against_one']}×")


def _params(table: Path) -> Params:
    """Settings by which the table is streamed, and prepared by the cluster."""
    params = load_params(Path("params.yaml"), "iris")
    return params.model_copy(
        update={
            "dataset": "mixed",
            "source": Source(source=str(table), target="y"),
            "fetch": params.fetch.model_copy(update={"memory": 1.0}),
            "preprocess": params.preprocess.model_copy(update={"scheduler": ADDRESS}),
        }
    )


@contextlib.contextmanager
def _cluster(workers: int) -> Iterator[None]:
    """A scheduler and workers as processes of their own, which end with this context."""
    scheduler = ("distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", str(PORT), "--no-dashboard")
    commands = [scheduler, *[("pipeline.commands", "worker", ADDRESS, "--trials-at-once", "1")] * workers]
    started = [
        subprocess.Popen([sys.executable, "-m", *command], stderr=subprocess.DEVNULL, start_new_session=True)
        for command in commands
    ]
    try:
        with Client(ADDRESS, timeout=60, set_as_default=False) as client:
            client.wait_for_workers(workers, timeout=60)
        yield
    finally:
        for process in started:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


if __name__ == "__main__":
    main()
