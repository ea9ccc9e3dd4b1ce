"""worker: a Dask worker with this code, which trains, preprocesses and predicts, and is started again if it dies."""

import os
import sys
from typing import Annotated

import typer

from pipeline import resources

app = typer.Typer()


@app.command()
def worker(
    scheduler: Annotated[str, typer.Argument(help="address of the scheduler, such as tcp://host:8786")],
    trials_at_once: Annotated[
        int, typer.Option(min=1, help="trials that run at the same time and share the cores")
    ] = resources.cores(),
) -> None:
    """Train trials, preprocess rows and predict parts for the users of a Dask scheduler."""
    from models.search.workers import cluster_code
    from serving.batch import cluster

    at_once = str(trials_at_once)
    # Otherwise Dask's worker would be a daemonic process, which may not have children.
    os.environ["DASK_DISTRIBUTED__WORKER__DAEMON"] = "False"
    command = [sys.executable, "-m", "distributed.cli.dask_worker", scheduler, "--no-dashboard"]
    command += ["--preload", "models.search.workers.cluster_task"]
    # The worker itself needs no memory worth watching: its trials are processes of their own.
    resources = " ".join(f"{name}={at_once}" for name in (cluster_code.resource(), cluster.resource()))
    command += ["--nthreads", at_once, "--memory-limit", "0", "--resources", resources]
    os.execv(sys.executable, command)
