"""The code that runs on a worker of a Dask cluster: a trial as a task, in its own process as on one machine.

A task needs no file of the machine that searches: its rows come as an argument or from a store, its network goes back
as bytes.
"""

import contextlib
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from threading import Lock
from typing import Any

from distributed import Client, Queue, get_worker

from contracts.errors import UserError
from models.search.trial import TrialTask
from models.search.workers.events import Done, Failed, Progress, Stopped
from models.search.workers.pool import Pool
from models.search.workers.temporary import use_own_folder
from models.training.data import Data

# Writes the files of a trial to a folder, from another one with a file for each content that this worker has.
WriteRows = Callable[[Path, Path], None]

POLL_SECONDS = 0.5  # seconds between two checks that the search still wants the result


class Unwanted(Exception):
    """The search has ended, or the scheduler has given the trial to another worker."""


def dask_setup(_: Any) -> None:
    """Called by Dask when a worker of `make worker` starts."""
    use_own_folder()


def run(
    function: str, task: TrialTask, rows: dict[str, bytes] | WriteRows, rows_name: str, label: str, topic: str,
    limit: float | None,
) -> tuple[Done | Stopped | Failed, bytes | None]:  # fmt: skip
    """Train one trial in a process of its own.

    Args:
        rows: the files of `task.data`, by name, or what writes them; they take its place.
        topic: of the reports: the label, the name of the queue that takes the answer, the epoch, the value.

    Returns:
        How it ended, and the network if one was saved.

    Raises:
        Unwanted: when nobody waits for the result any more.
        UserError: when this worker does not have the rows.
    """
    worker = get_worker()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with (
        # The worker's own client is of no use, because the worker closes it when it begins to end.
        Client(worker.scheduler.address, security=worker.security, set_as_default=False) as client,
        contextlib.closing(Queue(client=client)) as answers,
        tempfile.TemporaryDirectory(dir=worker.local_directory) as folder,
        _unpacked(rows, rows_name, task.data) as data,
        Pool() as pool,
    ):
        # On a shared file system the checkpoint's folder is here, too.
        checkpoint = task.checkpoint if task.checkpoint and task.checkpoint.parent.is_dir() else None
        threads = max(1, cores // worker.state.nthreads)
        here = replace(task, data=data, checkpoint=checkpoint, threads=threads)
        network = Path(folder) / "model.keras"
        pool.start(label, function, here, network, limit=limit)
        while True:
            for event in pool.events(POLL_SECONDS):
                if not isinstance(event, Progress):
                    return event, network.read_bytes() if network.exists() else None
                worker.log_event(topic, (label, answers.name, int(event.epoch), float(event.value)))
                pool.answer(event, _answer(answers))
            _check_wanted()


_unpacking = Lock()  # trials of this worker that start together have their rows written once
_users: Counter[Path] = Counter()  # trials that use a folder of rows


@contextlib.contextmanager
def _unpacked(rows: dict[str, bytes] | WriteRows, name: str, data: Data) -> Iterator[Data]:
    """Files of this worker that are written once; all of its trials map them into memory. Those of an earlier search,
    or of its earlier round, are removed when others have been written.
    """
    worker = get_worker()
    folder = Path(worker.local_directory) / name
    with _unpacking:
        if not folder.is_dir():
            with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
                unfinished = Path(scratch) / name
                unfinished.mkdir()
                try:
                    if callable(rows):
                        rows(unfinished, folder.parent)
                    else:
                        for file, content in rows.items():
                            (unfinished / file).write_bytes(content)
                except (UserError, OSError) as error:  # a failure of this worker, not of the trial
                    raise UserError(f"no rows for a trial at the worker {worker.address}: {error}") from None
                unfinished.rename(folder)
            _remove_unused(folder)
        _users[folder] += 1
    try:
        yield replace(data, folder=folder, schema=folder / "schema.json")
    finally:
        _users[folder] -= 1


def _remove_unused(newest: Path) -> None:
    for folder in [folder for folder, users in _users.items() if not users and folder != newest]:
        shutil.rmtree(folder, ignore_errors=True)
        del _users[folder]
    for content in newest.parent.glob("[0-9a-f]" * 64):  # of rows from a store; each folder has a further link to it
        if content.is_file() and content.stat().st_nlink == 1:
            content.unlink()


def _answer(answers: Queue) -> bool:
    while True:
        with contextlib.suppress(TimeoutError):
            return answers.get(timeout=POLL_SECONDS)
        _check_wanted()


def _check_wanted() -> None:
    worker = get_worker()
    task = worker.state.tasks.get(worker.get_current_task())
    if task is None or task.state != "executing":  # the scheduler has taken it back
        raise Unwanted
