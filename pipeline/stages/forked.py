"""`python -m pipeline.stages.forked <in> <out>`: runs stages in forks of itself, in which all imports are done.

A stage imports for one to three seconds and often works for less. `pipeline/dvc_cli.py` starts this process once for a
run and sends it one stage after the other (docs/decisions/0077-stages-are-forked.md). All searches of the run share one
fork server of trials, which imports TensorFlow while the first stages run.
"""

import gc
import importlib
import json
import os
import signal
import sys
from pathlib import Path

from models.search.workers.pool import TRAINING
from models.search.workers.process import inherit_fork_server, start_fork_server
from models.search.workers.temporary import use_own_folder
from pipeline.environment import prepare_environment
from pipeline.stages.__main__ import STAGES, main

ROOT = Path(__file__).parents[2]
PACKAGES = ("contracts", "models", "serving", "pipeline")
FORKED = tuple(stage for stage in STAGES if stage != "package")  # it must import the packed copy of `serving`
BEFORE_TRIALS = ("fetch", "preprocess", "train")
IMPORTED = (*(f"pipeline.stages.{stage}" for stage in FORKED), "pipeline.search.train", "sklearn.ensemble")


def serve(commands: int, answers: int) -> None:
    """Run a stage for each line of a pipe, JSON of its arguments and its environment, and answer with its exit code.

    The answer is empty for a stage that must be started as a new process: `package`, and every stage whose code has
    changed.
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends the imports without a stack trace
    prepare_environment()
    imported, trains = _times_of_code(), False
    gc.disable()  # the collector finds no garbage in what is imported, and takes a sixth of the time
    for module in IMPORTED:
        importlib.import_module(module)
    gc.freeze()  # so that no fork scans this memory
    gc.enable()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the stage handles it, as it handles SIGTERM
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with os.fdopen(commands) as lines, os.fdopen(answers, "w", buffering=1) as answered:
        while line := lines.readline():
            arguments, environment = json.loads(line)
            if arguments[0] not in FORKED or imported != _times_of_code():
                print(file=answered)
                continue
            if arguments[0] in BEFORE_TRIALS and not trains:
                trains = True
                use_own_folder()
                start_fork_server(TRAINING)
            child = os.fork()
            if not child:
                break
            print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), file=answered)
    if not line:
        return
    if trains:
        inherit_fork_server()
    os.environ.clear()
    os.environ.update(environment)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.argv = [sys.argv[0], *arguments]
    sys.exit(main())


def _times_of_code() -> dict[Path, int]:
    """When each file of this project was changed last."""
    files = (path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
    return {path: path.stat().st_mtime_ns for path in files}


if __name__ == "__main__":
    serve(*map(int, sys.argv[1:3]))
