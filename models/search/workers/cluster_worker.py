"""What runs on a worker of a Dask cluster: one trial as one task, in a process of its own as on one machine.

The task tells the search of each report through the scheduler and waits for its answer. It needs no file of
the machine that searches: the rows come when a worker asks for them, and the trained network goes back as
bytes. Where a folder of the search is there under the same path, on a shared file system, it is used.
"""

import hashlib
import os
import queue
import sys
import tempfile
import threading
import uuid
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from distributed import Worker, get_worker

import models
from contracts.files import md5
from models.search.trial import TrialTask
from models.search.workers.events import Done, Failed, Progress, Stopped
from models.search.workers.pool import Pool
from models.training.data import Data

LOOKS = 0.5  # seconds after which a task looks whether anybody still wants its result
PACKAGES = ("tensorflow", "keras", "numpy", "pydantic", "distributed")
RESOURCE = "trials-"  # of a worker: how many trials of this very code it trains at the same time

_answers: dict[str, queue.SimpleQueue[bool]] = {}
_preparing = threading.Lock()


class Unwanted(Exception):
    """The search that asked for this trial is gone, or asks for it elsewhere."""


def code() -> dict[str, str]:
    """What decides how a trial is trained here: our files by their md5, Python and packages by their version."""
    root = Path(models.__file__).parent.parent
    files = sorted([*root.glob("models/**/*.py"), *root.glob("contracts/**/*.py")])
    found = {str(path.relative_to(root)): md5(path) for path in files}
    found["python"] = f"{sys.version_info.major}.{sys.version_info.minor}"
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "missing"
    return found


def resource() -> str:
    """The resource that workers with this code offer, so that Dask gives trials to no others."""
    return RESOURCE + hashlib.sha256(repr(sorted(code().items())).encode()).hexdigest()[:12]


def files_of(data: Data) -> dict[str, Path]:
    found = sorted([*data.folder.glob("*.npy"), *data.folder.glob("fold_*.json")])
    return {"schema.json": data.schema, **{path.name: path for path in found}}


def digest_of(data: Data) -> str:
    """A hash of what `data` holds, wherever it lies."""
    return hashlib.sha256(repr([(name, md5(path)) for name, path in files_of(data).items()]).encode()).hexdigest()[:16]


def run(
    function: str, task: TrialTask, topic: str, label: str, data_digest: str, limit: float | None
) -> tuple[Any, ...]:
    """One `models.worker.<function>`, from its data to its end.

    Returns:
        `("done", result, network)` with the network as bytes, if one was saved; `("stopped",)`; `("failed", reason)`.

    Raises:
        Unwanted: when nobody waits for the result any more; its process is ended then.
    """
    worker = get_worker()
    attempt = uuid.uuid4().hex
    sender = {"job": label, "worker": worker.address, "attempt": attempt}
    _answers[attempt] = queue.SimpleQueue()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        with tempfile.TemporaryDirectory(dir=worker.local_directory) as folder, Pool() as pool:
            data = _data(task.data, data_digest, lambda: worker.log_event(topic, {"kind": "data", **sender}))
            checkpoint = task.checkpoint if task.checkpoint and task.checkpoint.parent.is_dir() else None
            threads = max(1, cores // worker.state.nthreads)
            network = Path(folder) / "model.keras"
            here = replace(task, data=data, checkpoint=checkpoint, threads=threads)
            pool.start(label, function, here, network, limit=limit)
            while True:
                for event in pool.events(LOOKS):
                    match event:
                        case Progress(_, epoch, value):
                            report = {"kind": "progress", "epoch": int(epoch), "value": float(value), **sender}
                            worker.log_event(topic, report)
                            pool.answer(event, _answer(attempt))
                        case Done(_, result):
                            return "done", result, network.read_bytes() if network.exists() else None
                        case Stopped():
                            return ("stopped",)
                        case Failed(_, reason):
                            return "failed", reason
                _check_wanted()
    finally:
        del _answers[attempt]


def answer(attempt: str, go_on: bool) -> None:
    """Called by the search: whether an attempt goes on after its last report."""
    if attempt in _answers:
        _answers[attempt].put(go_on)


def receive(digest: str, files: dict[str, bytes], dask_worker: Worker) -> None:
    """Called by the search: the rows that a task of this worker has asked for."""
    home = _home(dask_worker, digest)
    if home.is_dir():
        return
    unfinished = Path(tempfile.mkdtemp(dir=home.parent))
    for name, content in files.items():
        (unfinished / name).write_bytes(content)
    unfinished.rename(home)


def _data(data: Data, digest: str, ask: Any) -> Data:
    """The rows where the search has them, if this machine sees them there; else a copy that the search sends."""
    home = _home(get_worker(), digest)
    with _preparing:  # the other tasks of this worker need the same
        if not home.is_dir():
            if _sees(data, digest):
                return data
            ask()
            while not home.is_dir():
                _check_wanted()
                threading.Event().wait(0.05)
    return Data(home, home / "schema.json")


def _sees(data: Data, digest: str) -> bool:
    return data.schema.is_file() and digest_of(data) == digest


def _home(worker: Worker, digest: str) -> Path:
    return Path(worker.local_directory) / f"rows-{digest}"


def _answer(attempt: str) -> bool:
    while True:
        try:
            return _answers[attempt].get(timeout=LOOKS)
        except queue.Empty:
            _check_wanted()


def _check_wanted() -> None:
    worker = get_worker()
    task = worker.state.tasks.get(worker.get_current_task())
    if task is None or task.state != "executing":  # the scheduler has taken it back
        raise Unwanted
