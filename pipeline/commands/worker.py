"""worker: a Dask worker with this code, which trains, preprocesses and predicts, and is started again if it dies."""

import os
import socket
import sys
import time
from typing import Annotated

import typer

from contracts.errors import UserError
from contracts.settings.sections import is_scheduler
from pipeline import resources

WAIT_SECONDS = 30  # for a scheduler that starts at the same time
app = typer.Typer()


@app.command()
def worker(
    scheduler: Annotated[str, typer.Argument(help="address of the scheduler, such as tcp://host:8786")],
    trials_at_once: Annotated[
        int, typer.Option(min=1, help="trials that run at the same time and share the cores")
    ] = resources.cores(),
) -> None:
    """Train trials, preprocess rows and predict parts for the users of a Dask scheduler."""
    if not is_scheduler(scheduler):
        raise UserError(f"SCHEDULER: expected an address as tcp://host:8786, received {scheduler!r}")
    _wait_for(scheduler)
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


def _wait_for(scheduler: str) -> None:
    """Wait until a scheduler listens, because Dask's worker waits without a word and ends with a stack trace."""
    host, port = scheduler.split("://")[1].split(":")
    end = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            return socket.create_connection((host, int(port)), timeout=5).close()
        except (OSError, OverflowError) as error:
            if time.monotonic() >= end:
                raise UserError(
                    f"no Dask scheduler answers at {scheduler}: start one with `make scheduler` on that host ({error})"
                ) from None
        time.sleep(1)
