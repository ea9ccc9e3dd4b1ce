"""A Dask worker that trains trials of this very code, until it is ended; started again where it dies."""

import argparse
import os
import sys

from pipeline.tracking import provenance


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("scheduler", help="its address, as tcp://host:8786")
    parser.add_argument(
        "--trials-at-once", type=int, default=provenance.cores(), help="the cores are shared among them; default: cores"
    )


def run(chosen: argparse.Namespace) -> None:
    from models.search.workers import cluster_code

    at_once = str(chosen.trials_at_once)
    # Dask's worker is a daemonic process otherwise, which may not have children.
    os.environ["DASK_DISTRIBUTED__WORKER__DAEMON"] = "False"
    command = [sys.executable, "-m", "distributed.cli.dask_worker", chosen.scheduler, "--no-dashboard"]
    command += ["--preload", "models.search.workers.cluster_task"]
    # The worker itself needs no memory worth watching: its trials are processes of their own.
    command += ["--nthreads", at_once, "--memory-limit", "0", "--resources", f"{cluster_code.resource()}={at_once}"]
    os.execv(sys.executable, command)
