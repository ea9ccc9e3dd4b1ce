"""Trials on a Dask cluster, behind the same methods as those of a `Pool` on this machine."""

import contextlib
import queue
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from distributed import Future, Queue
from distributed.client import FutureCancelledError

from contracts.errors import UserError
from contracts.files import write_atomically
from models.search.trial import TrialTask
from models.search.workers import cluster_task
from models.search.workers.connection import CONNECT_TIMEOUT, POLL_SECONDS, Connection
from models.search.workers.events import Event, Failed, Progress
from models.training.data import Data

FETCH_TIMEOUT = 60  # seconds that a worker has to hand over a trained network


@dataclass
class _Running:
    job: Any
    future: Future
    save_to: Path
    answers: str = ""  # the queue of the attempt that reported last
    reported: int = -1  # the last epoch


class Cluster:
    """Starts trials as tasks of a Dask cluster and yields their events. The workers with the same code decide how many
    trials run at the same time. Dask runs the trial of a worker that died on another one.

    Args:
        put: copies files to a store that all workers reach, and returns a name for their content and the function with
            which a worker gets them. Without it the scheduler sends them.
    """

    def __init__(
        self, address: str, put: Callable[[dict[str, Path]], tuple[str, cluster_task.WriteRows]] | None = None
    ) -> None:
        self._put = put
        self.connection = Connection(address, "search.scheduler", "trials")
        self.client, self._resource = self.connection.client, self.connection.resource
        self._topic = f"trials-{uuid.uuid4().hex}"
        self._rows: dict[Data, tuple[str, Future | cluster_task.WriteRows]] = {}
        self._running: dict[str, _Running] = {}
        self._messages: queue.SimpleQueue[tuple[Any, ...]] = queue.SimpleQueue()
        self.client.subscribe_topic(self._topic, lambda event: self._messages.put(event[1]))

    def __len__(self) -> int:
        return len(self._running)

    def room(self) -> int:
        """How many trials the present workers with the same code train at the same time."""
        return self.connection.room()

    def start(self, job: Any, function: str, task: TrialTask, save_to: Path, limit: float | None = None) -> None:
        """Run a function of `models.search.train_trial` on some worker; its network is saved here when it is done.

        Args:
            limit: seconds after which the trial is ended, and has failed.
        """
        if task.data not in self._rows:  # replaces the files of an earlier round, which are no longer needed
            self._rows = {task.data: self._share(_files_of(task.data))}
        if task.checkpoint is not None:
            task.checkpoint.parent.mkdir(parents=True, exist_ok=True)
        (name, rows), label = self._rows[task.data], f"trial-{uuid.uuid4().hex}"
        future = self.client.submit(
            cluster_task.run, function, task, rows, name, label, self._topic, limit,
            key=label, resources={self._resource: 1}, pure=False,
        )  # fmt: skip
        self._running[label] = _Running(job, future, save_to)
        future.add_done_callback(lambda _: self._messages.put((label,)))

    def _share(self, files: dict[str, Path]) -> tuple[str, Future | cluster_task.WriteRows]:
        """A name for the files, and the argument by which a task gets them."""
        if self._put is not None:
            return self._put(files)
        contents = {name: path.read_bytes() for name, path in files.items()}
        # This is a task too, so that Dask makes the result again if the worker that has it dies.
        future: Future = self.client.submit(dict, contents, pure=False)
        return str(future.key), future

    def events(self, seconds: float | None = None) -> Iterator[Event]:
        """Wait for events, at most a second, because a worker may have joined; yield the events."""
        if self.client.status not in ("running", "connecting"):
            raise self.connection.lost()
        patience = POLL_SECONDS if seconds is None else max(0.0, min(POLL_SECONDS, seconds))
        try:
            label, *report = self._messages.get(timeout=patience)
        except queue.Empty:
            return
        running = self._running.get(label)
        if running is None:
            return
        if not report:
            yield from self._end(label, running)
            return
        running.answers, epoch, value = report
        progress = Progress(running.job, epoch, value)
        if epoch > running.reported:
            running.reported = epoch
            yield progress
        else:  # an earlier attempt reported this epoch before its worker died
            self.answer(progress, go_on=True)

    def _end(self, label: str, running: _Running) -> Iterator[Event]:
        try:
            event, network = running.future.result(timeout=FETCH_TIMEOUT)
        except TimeoutError:  # the worker died with the result: Dask trains it again
            running.future.add_done_callback(lambda _: self._messages.put((label,)))
            return
        except FutureCancelledError:
            raise self.connection.lost() from None
        except UserError:  # the worker does not have the rows
            raise
        except Exception as error:
            event, network = Failed(None, f"{type(error).__name__}: {error}"), None
        del self._running[label]
        if network is not None:
            with write_atomically(running.save_to) as unfinished:
                unfinished.write_bytes(network)
        yield replace(event, job=running.job)

    def answer(self, progress: Progress, go_on: bool) -> None:
        """Tell the trial that reported whether to go on; it waits for this."""
        for running in self._running.values():
            if running.job is progress.job:
                with (
                    contextlib.suppress(OSError),  # the scheduler is gone, which `events` reports
                    contextlib.closing(Queue(running.answers, client=self.client)) as answers,
                ):
                    answers.put(go_on)

    def close(self) -> list[Any]:
        """Cancel the jobs that still run, and return them; their processes end within a second."""
        jobs = [running.job for running in self._running.values()]
        with contextlib.suppress(Exception):  # the scheduler may be gone, which is no error here
            self.client.cancel([running.future for running in self._running.values()], force=True)
        self._running.clear()
        return jobs

    def __enter__(self) -> "Cluster":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
        with contextlib.suppress(Exception):
            self.client.close(timeout=CONNECT_TIMEOUT)


def _files_of(data: Data) -> dict[str, Path]:
    """The files that a worker gets, by their names there."""
    files = [path for path in data.folder.glob("*.npy") if path.name.partition(".")[0] in (data.train, "validation")]
    files += data.folder.glob("fold_*")
    return {"schema.json": data.schema} | {path.name: path for path in files}
