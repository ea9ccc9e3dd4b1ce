"""Trials on a Dask cluster, behind the same methods as those of a `Pool` on this machine."""

import contextlib
import logging
import queue
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from distributed import Client, Future
from distributed.client import FutureCancelledError
from distributed.scheduler import KilledWorker

from contracts.errors import UserError
from contracts.files import write_atomically
from models.search.trial import TrialTask
from models.search.workers import cluster_worker
from models.search.workers.events import Done, Failed, Progress, Stopped
from models.training.data import Data

CONNECTS = 5  # seconds in which a scheduler has to answer
FETCHES = 60  # seconds in which a worker has to hand a trained network over
LOOKS = 1.0  # seconds between two looks at which workers there are


@dataclass(frozen=True)
class _Report(Progress):
    """A report and who waits for the answer: the same trial may have been begun on a worker that is dead by now."""

    worker: str
    attempt: str


@dataclass
class _Running:
    job: Any
    future: Future
    save_to: Path
    data: Data
    reported: int = field(default=-1)


class Cluster:
    """Starts trials as tasks of a Dask cluster and yields what they report.

    As many trials run as the workers with this very code have room for now. Dask runs the trial of a worker that
    died on another one.

    Raises:
        UserError: when no scheduler answers at the address, or when its workers have another code.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        for chatty in ("distributed", "tornado"):
            logging.getLogger(chatty).setLevel(logging.CRITICAL)
        try:
            self.client = Client(address, timeout=CONNECTS, set_as_default=False)
        except (OSError, TimeoutError, ValueError) as error:
            raise UserError(
                f"no Dask scheduler answers at {address} (search.scheduler): start one with `make scheduler` on that "
                f"host, or set search.scheduler: null to search on this machine ({error})"
            ) from None
        self._resource = cluster_worker.resource()
        self._topic = f"trials-{uuid.uuid4().hex}"
        self._running: dict[str, _Running] = {}
        self._messages: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        self._digests: dict[Path, str] = {}
        self._refused: set[str] = set()
        self._looked, self._room = 0.0, 0
        self._told_to_wait = False
        self.client.subscribe_topic(self._topic, lambda event: self._messages.put(("event", event[1])))
        try:
            if not self.room() and self._refused:
                raise UserError(f"no worker at {address} can train these trials, see above")
        except BaseException:
            self.__exit__()
            raise

    def __len__(self) -> int:
        return len(self._running)

    def room(self) -> int:
        """How many trials the workers of this code, as many as there are now, train at the same time."""
        if time.monotonic() - self._looked < LOOKS:
            return self._room
        try:
            workers = self.client.scheduler_info()["workers"]
        except (OSError, RuntimeError):
            raise self._lost() from None
        ours = {worker: about for worker, about in workers.items() if self._resource in about["resources"]}
        for worker in workers.keys() - ours.keys() - self._refused:
            print(f"  the worker at {worker} gets no trials: {self._what_differs(worker)}", flush=True)
            self._refused.add(worker)
        self._room = sum(int(about["resources"][self._resource]) for about in ours.values())
        if not self._room and not self._told_to_wait:
            waits = f"make worker SCHEDULER={self.address}"
            print(f"  no worker at {self.address} yet: waiting for a `{waits}`", flush=True)
        self._told_to_wait = not self._room
        self._looked = time.monotonic()
        return self._room

    def start(self, job: Any, function: str, task: TrialTask, save_to: Path, limit: float | None = None) -> None:
        """Run a `models.worker.<function>` that trains on some worker; its network is saved here when it is done.

        Args:
            limit: seconds after which the trial is ended, and has failed.
        """
        digest = self._digests.get(task.data.folder) or cluster_worker.digest_of(task.data)
        self._digests[task.data.folder] = digest
        if task.checkpoint is not None:
            task.checkpoint.parent.mkdir(parents=True, exist_ok=True)
        label = f"trial-{uuid.uuid4().hex}"
        future = self.client.submit(
            cluster_worker.run, function, task, self._topic, label, digest, limit,
            key=label, resources={self._resource: 1}, pure=False,
        )  # fmt: skip
        self._running[label] = _Running(job, future, save_to, task.data)
        future.add_done_callback(lambda _: self._messages.put(("end", label)))

    def events(self, seconds: float | None = None) -> Iterator[Progress | Done | Stopped | Failed]:
        """What has happened since; nothing after a second, because a worker may have joined."""
        if self.client.status not in ("running", "connecting"):
            raise self._lost()
        with contextlib.suppress(queue.Empty):
            kind, content = self._messages.get(timeout=LOOKS if seconds is None else max(0.0, min(LOOKS, seconds)))
            label = content["job"] if kind == "event" else content
            if label not in self._running:
                return
            yield from self._end(label) if kind == "end" else self._event(label, content)

    def _event(self, label: str, message: dict[str, Any]) -> Iterator[Progress]:
        running = self._running[label]
        if message["kind"] == "data":
            files = {name: path.read_bytes() for name, path in cluster_worker.files_of(running.data).items()}
            self._tell(message["worker"], cluster_worker.receive, self._digests[running.data.folder], files)
            return
        report = _Report(running.job, message["epoch"], message["value"], message["worker"], message["attempt"])
        if report.epoch <= running.reported:  # an earlier attempt got as far before its worker died
            self.answer(report, go_on=True)
            return
        running.reported = report.epoch
        yield report

    def _end(self, label: str) -> Iterator[Done | Stopped | Failed]:
        running = self._running[label]
        try:
            kind, *content = running.future.result(timeout=FETCHES)
        except TimeoutError:  # the worker died with the result: Dask trains it again
            running.future.add_done_callback(lambda _: self._messages.put(("end", label)))
            return
        except FutureCancelledError:
            raise self._lost() from None
        except KilledWorker as error:
            kind, content = "failed", [f"the workers that trained it died, the last one at {error.last_worker.address}"]
        except Exception as error:
            kind, content = "failed", [f"{type(error).__name__}: {error}"]
        del self._running[label]
        if kind == "done":
            result, network = content
            if network is not None:
                with write_atomically(running.save_to) as unfinished:
                    unfinished.write_bytes(network)
            yield Done(running.job, result)
        else:
            yield {"stopped": Stopped, "failed": Failed}[kind](running.job, *content)

    def answer(self, progress: Progress, go_on: bool) -> None:
        assert isinstance(progress, _Report)
        self._tell(progress.worker, cluster_worker.answer, progress.attempt, go_on)

    def _tell(self, worker: str, function: Any, *arguments: Any) -> None:
        with contextlib.suppress(OSError, KeyError):  # it died meanwhile: Dask begins the trial elsewhere
            self.client.run(function, *arguments, workers=[worker])

    def __enter__(self) -> "Cluster":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
        with contextlib.suppress(Exception):
            self.client.close(timeout=CONNECTS)

    def close(self) -> list[Any]:
        """Take back what still runs, and return which jobs that were; their processes end within a second."""
        jobs = [running.job for running in self._running.values()]
        with contextlib.suppress(Exception):  # the scheduler may be gone, which is no reason to fail here
            self.client.cancel([running.future for running in self._running.values()], force=True)
        self._running.clear()
        return jobs

    def _lost(self) -> UserError:
        return UserError(
            f"the Dask scheduler at {self.address} is gone: start it and its workers again, and the same command "
            "goes on; what is finished is kept"
        )

    def _what_differs(self, worker: str) -> str:
        theirs = self._code_of(worker)
        if not isinstance(theirs, dict):
            return f"it cannot import this project ({theirs}); start it with `make worker SCHEDULER={self.address}`"
        ours = cluster_worker.code()
        different = sorted(name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name))
        if not different:
            return f"it was not started by `make worker SCHEDULER={self.address}`"
        shown = [name if "/" in name else f"{name} {theirs.get(name)}, here {ours.get(name)}" for name in different[:5]]
        more = f" and {len(different) - 5} more" if len(different) > 5 else ""
        return f"it has another version of {'; '.join(shown)}{more}; check out the same commit there and `make setup`"

    def _code_of(self, worker: str) -> Any:
        """What the worker says its code is, or the error instead."""
        return self.client.run(cluster_worker.code, workers=[worker], on_error="return").get(worker)
