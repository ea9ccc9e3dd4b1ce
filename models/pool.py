"""Jobs in processes of their own, forked from one that has imported TensorFlow already.

A process per job costs some hundredths of a second, because only the fork server pays for the import.
In return memory cannot grow from trial to trial, and a job that crashes takes nothing down with it.
"""

import contextlib
import multiprocessing
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing import forkserver
from multiprocessing.connection import Connection, wait
from typing import Any

_context = multiprocessing.get_context("forkserver")


class JobEnded(Exception):
    """Raised inside a job when it is told to stop."""


class JobFailed(Exception):
    """A job that had to succeed did not."""


@dataclass(frozen=True)
class Progress:
    """A job reports a value and waits to hear whether to go on: answer with `Pool.answer`."""

    job: Any
    epoch: int
    value: float


@dataclass(frozen=True)
class Done:
    job: Any
    result: Any


@dataclass(frozen=True)
class Stopped:
    """The job ended because it was told to."""

    job: Any


@dataclass(frozen=True)
class Failed:
    """The job raised, or its process died."""

    job: Any
    reason: str


class Pool:
    """Starts jobs, each in its own process, and yields what they report.

    A job is a function of `models.worker`, whose last argument is `on_epoch(epoch, value)`.
    """

    def __init__(self) -> None:
        self._running: dict[Connection, tuple[Any, Any]] = {}
        _context.set_forkserver_preload(["models.worker"])
        forkserver.ensure_running()  # begins importing now, while the caller does other things

    def __len__(self) -> int:
        return len(self._running)

    def start(self, job: Any, function: str, *arguments: Any) -> None:
        """Run `models.worker.<function>(*arguments, on_epoch)`; `job` is any label that comes back in events."""
        ours, theirs = _context.Pipe()
        process = _context.Process(target=_run, args=(theirs, function, arguments), daemon=True)
        process.start()
        theirs.close()
        self._running[ours] = (job, process)

    def events(self, seconds: float | None = None) -> Iterator[Progress | Done | Stopped | Failed]:
        """What has happened since, waiting until something has, but not longer than so many seconds."""
        for connection in wait(list(self._running), seconds):
            assert isinstance(connection, Connection)
            job, process = self._running[connection]
            try:
                kind, *content = connection.recv()
            except (EOFError, ConnectionResetError):
                process.join()
                kind, content = "failed", [_how_it_died(process.exitcode)]
            if kind == "progress":
                yield Progress(job, *content)
                continue
            del self._running[connection]
            connection.close()
            process.join()
            yield {"done": Done, "stopped": Stopped, "failed": Failed}[kind](job, *content)

    def answer(self, progress: Progress, go_on: bool) -> None:
        for connection, (job, _) in self._running.items():
            if job is progress.job:
                with contextlib.suppress(OSError):  # it died meanwhile: `events` will say so
                    connection.send(go_on)

    def result(self) -> Any:
        """The result of the one job that runs, when it has ended.

        Raises:
            JobFailed: with the reason.
        """
        while True:
            for event in self.events():
                match event:
                    case Progress():
                        self.answer(event, go_on=True)
                    case Done(_, result):
                        return result
                    case Failed(_, reason):
                        raise JobFailed(reason)

    def __enter__(self) -> "Pool":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> list[Any]:
        """End what still runs, and return which jobs that were."""
        jobs = [job for job, _ in self._running.values()]
        for _, process in self._running.values():
            process.kill()
        for connection, (_, process) in self._running.items():
            process.join()
            connection.close()
        self._running.clear()
        return jobs


def _how_it_died(exit_code: int | None) -> str:
    if exit_code is not None and exit_code < 0:
        return f"its process was ended by {signal.Signals(-exit_code).name}"
    return f"its process ended with exit code {exit_code}"


def _run(connection: Connection, function: str, arguments: tuple[Any, ...]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupt is the parent's to handle
    from models import worker

    def on_epoch(epoch: int, value: float) -> None:
        connection.send(("progress", epoch, value))
        if not connection.recv():
            raise JobEnded

    try:
        message: tuple[Any, ...] = ("done", getattr(worker, function)(*arguments, on_epoch))
    except JobEnded:
        message = ("stopped",)
    except (EOFError, BrokenPipeError):
        os._exit(1)  # the parent is gone, so nobody wants the result
    except Exception as error:
        message = ("failed", f"{type(error).__name__}: {error}")
    try:
        connection.send(message)
    except OSError:
        os._exit(1)
