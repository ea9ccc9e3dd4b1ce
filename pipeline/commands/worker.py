"""worker: a Dask worker that trains trials and preprocesses rows with this very code; started again where it dies."""

import os
import sys
from typing import Annotated

import typer

from pipeline import resources

app = typer.Typer()


@app.command()
def worker(
    scheduler: Annotated[str, typer.Argument(help="its address, as tcp://host:8786")],
    trials_at_once: Annotated[int, typer.Option(min=1, help="the cores are shared among them")] = resources.cores(),
) -> None:
    """Train trials and preprocess rows for a Dask scheduler."""
    from models.search.workers import cluster_code

    at_once = str(trials_at_once)
    # Dask's worker is a daemonic process otherwise, which may not have children.
    os.environ["DASK_DISTRIBUTED__WORKER__DAEMON"] = "False"
    command = [sys.executable, "-m", "distributed.cli.dask_worker", scheduler, "--no-dashboard"]
    command += ["--preload", "models.search.workers.cluster_task"]
    # The worker itself needs no memory worth watching: its trials are processes of their own.
    command += ["--nthreads", at_once, "--memory-limit", "0", "--resources", f"{cluster_code.resource()}={at_once}"]
    os.execv(sys.executable, command)
