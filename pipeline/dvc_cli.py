"""DVC's own commands, in this process, over datasets that `params.yaml` need not list."""

import contextlib
import signal
import sys
from collections.abc import Iterator
from types import FrameType
from typing import Any
from unittest.mock import patch

import psutil

from pipeline.tracking.locks import file_lock


def working_copy() -> contextlib.AbstractContextManager[None]:
    """Held by one command at a time that changes settings or outputs; a second one says so and waits."""
    return file_lock("working-copy", "this working copy is in use")


def run_dvc(datasets: list[str], *arguments: str) -> int:
    """Run a command of DVC as if `datasets` of `params.yaml` listed these as well; 0, or 1 where it failed.

    SIGTERM ends the stage that runs, as Ctrl-C does, and with it DVC.
    """
    from dvc.cli import main  # takes a second

    before = signal.signal(signal.SIGTERM, _end_stage)
    try:
        with _listed_as_well(datasets):
            return int(main(list(arguments)) != 0)
    finally:
        signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def _listed_as_well(datasets: list[str]) -> Iterator[None]:
    """Extend the matrix of `dvc.yaml` in memory.

    DVC has no option for it: `dvc exp run -S datasets=…` writes `params.yaml` anew, and removes the outputs of the
    datasets that are listed no more. `dvc checkout`, which each `dvc exp run` begins with, removes every output that
    DVC remembers and no stage has: so DVC is kept from remembering what is made here.
    """
    from dvc.parsing.context import Context
    from dvc_data.hashfile.state import State

    load_from_vars = Context.load_from_vars

    def load_and_extend(context: Any, *args: Any, **kwargs: Any) -> None:
        load_from_vars(context, *args, **kwargs)
        if "default" in kwargs:  # the variables of dvc.yaml, which are params.yaml's; not those of one stage
            listed = [*context["datasets"].value, *datasets]
            context.merge_update(Context({"datasets": list(dict.fromkeys(listed))}), overwrite=True)

    with patch.object(Context, "load_from_vars", load_and_extend), patch.object(State, "set_link"):
        yield


def _end_stage(signum: int, frame: FrameType | None) -> None:
    running = [child for child in psutil.Process().children(recursive=True) if "pipeline.stages" in child.cmdline()]
    for stage in running:
        stage.terminate()
    if not running:
        sys.exit(128 + signum)
