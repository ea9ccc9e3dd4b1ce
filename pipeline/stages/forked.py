"""`python -m pipeline.stages.forked <in> <out>`: runs stages in forks of itself, in which all imports are done.

A stage imports for one to three seconds and often works for less. `pipeline/dvc_cli.py` starts this process once for a
run and sends it one stage after the other (docs/decisions/0077-stages-are-forked.md).
"""

import gc
import importlib
import json
import os
import signal
import sys
from pathlib import Path

from pipeline.environment import prepare_environment
from pipeline.stages.__main__ import STAGES, main

OURS = tuple(f"{Path(__file__).parents[2] / package}/" for package in ("contracts", "models", "serving", "pipeline"))
FORKED = tuple(stage for stage in STAGES if stage != "package")  # it must import the packed copy of `serving`
IMPORTED = (*(f"pipeline.stages.{stage}" for stage in FORKED), "pipeline.search.train", "sklearn.ensemble")


def serve(commands: int, answers: int) -> None:
    """Run a stage for each line of a pipe, JSON of its arguments and its environment, and answer with its exit code.

    The answer is empty for a stage that must be started as a new process: `package`, and every stage whose code has
    changed.
    """
    prepare_environment()
    for module in IMPORTED:
        importlib.import_module(module)
    gc.collect()
    gc.freeze()  # so that no fork scans this memory
    imported = {path: path.stat().st_mtime_ns for path in _our_files()}
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the stage handles it, as it handles SIGTERM
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with os.fdopen(commands) as lines, os.fdopen(answers, "w", buffering=1) as answered:
        while line := lines.readline():
            arguments, environment = json.loads(line)
            changed = any(not path.exists() or path.stat().st_mtime_ns != time for path, time in imported.items())
            if changed or arguments[0] not in FORKED:
                print(file=answered)
                continue
            child = os.fork()
            if not child:
                break
            print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), file=answered)
    if not line:
        return
    os.environ.clear()
    os.environ.update(environment)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.argv = [sys.argv[0], *arguments]
    sys.exit(main())


def _our_files() -> list[Path]:
    """The imported files of this project."""
    files = (getattr(module, "__file__", None) for module in list(sys.modules.values()))
    return [Path(file) for file in files if file and file.startswith(OURS)]


if __name__ == "__main__":
    serve(*map(int, sys.argv[1:3]))
