"""Jobs in processes of their own, forked from one that has imported TensorFlow already.

A process per job costs some hundredths of a second, because only the fork server pays for the import.
In return memory cannot grow from trial to trial, and a job that crashes takes nothing down with it.
"""

import contextlib
import gc
import math
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import Connection, wait
from pathlib import Path
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
    """The job raised, took too long, or its process died."""

    job: Any
    reason: str


@dataclass(frozen=True)
class _Running:
    job: Any
    process: Any
    limit: float | None
    deadline: float
    out_of_memory: int


class Pool:
    """Starts jobs, each in its own process, and yields what they report.

    A job is a function of `models.search.worker`, whose last argument is `on_epoch(epoch, value)`.

    Args:
        ahead: for many jobs: while one runs, the process of the next one is there already. Forking it and its first
            steps take some hundredths of a second.
    """

    def __init__(self, workers: int = 1, ahead: bool = False) -> None:
        self.workers, self.ahead = workers, ahead
        self._running: dict[Connection, _Running] = {}
        self._spare: tuple[Connection, Any] | None = None
        _context.set_forkserver_preload(["models.search.worker", "models.search.pool"])
        resource_tracker.ensure_running()
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # an interrupt is the caller's to handle
        forkserver.ensure_running()  # begins importing now, while the caller does other things
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})

    def __len__(self) -> int:
        return len(self._running)

    def room(self) -> int:
        """How many jobs may run at the same time."""
        return self.workers

    def start(self, job: Any, function: str, *arguments: Any, limit: float | None = None) -> None:
        """Run `models.worker.<function>(*arguments, on_epoch)`; `job` is any label that comes back in events.

        Args:
            limit: seconds after which the job is ended, and has failed.
        """
        connection, process = self._spare or _fork()
        self._spare = None
        try:
            connection.send((function, arguments))
        except OSError:  # the spare one was ended from outside
            connection, process = _fork()
            connection.send((function, arguments))
        deadline = time.monotonic() + (math.inf if limit is None else limit)
        self._running[connection] = _Running(job, process, limit, deadline, _kills_for_memory())
        if self.ahead:
            self._spare = _fork()

    def events(self, seconds: float | None = None) -> Iterator[Progress | Done | Stopped | Failed]:
        """What has happened since, waiting until something has, but not longer than so many seconds."""
        soonest = min((running.deadline for running in self._running.values()), default=math.inf) - time.monotonic()
        patience = max(0.0, min(soonest, math.inf if seconds is None else seconds))
        for connection in wait(list(self._running), None if patience == math.inf else patience):
            assert isinstance(connection, Connection)
            running = self._running[connection]
            try:
                kind, *content = connection.recv()
            except (EOFError, ConnectionResetError):
                running.process.join()
                kind, content = "failed", [_how_it_died(running)]
            if kind == "progress":
                yield Progress(running.job, *content)
                continue
            self._running.pop(connection)  # its process ends by itself, while the next one starts
            connection.close()
            yield {"done": Done, "stopped": Stopped, "failed": Failed}[kind](running.job, *content)
        for connection, running in list(self._running.items()):
            if running.deadline <= time.monotonic():
                running.process.kill()
                self._forget(connection)
                yield Failed(running.job, f"it took longer than search.trial_timeout, {running.limit:g} s")

    def _forget(self, connection: Connection) -> None:
        running = self._running.pop(connection)
        connection.close()
        running.process.join()

    def answer(self, progress: Progress, go_on: bool) -> None:
        for connection, running in self._running.items():
            if running.job is progress.job:
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
        jobs = [running.job for running in self._running.values()]
        for running in self._running.values():
            running.process.kill()
        for connection in list(self._running):
            self._forget(connection)
        if self._spare is not None:
            connection, process = self._spare
            connection.close()  # which ends it
            process.join()
            self._spare = None
        return jobs


def _fork() -> tuple[Connection, Any]:
    """A process that waits for its job at the other end of the connection."""
    ours, theirs = _context.Pipe()
    process = _context.Process(target=_run, args=(theirs,), daemon=True)
    # A signal in the middle would leave the fork server with half of what it is to start.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    theirs.close()
    return ours, process


def _how_it_died(running: _Running) -> str:
    code = running.process.exitcode
    if code == -signal.SIGKILL and _kills_for_memory() > running.out_of_memory:
        return "out of memory: the system ended its process (SIGKILL); fewer search.workers need less"
    if code == -signal.SIGKILL:
        return "its process was ended by SIGKILL, as the system does where memory runs out"
    if code is not None and code < 0:
        return f"its process was ended by {signal.Signals(-code).name}"
    return f"its process ended with exit code {code}"


def _kills_for_memory() -> int:
    """How many processes Linux has ended because memory ran out, since it was started."""
    try:
        counters = dict(line.split() for line in Path("/proc/vmstat").read_text().splitlines())
    except OSError:
        return 0
    return int(counters.get("oom_kill", 0))


def _run(connection: Connection) -> None:
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    with contextlib.suppress(OSError):  # where memory runs out, this process goes and not the parent
        Path("/proc/self/oom_score_adj").write_text("500")
    from models.search import worker

    gc.freeze()  # what the fork server has imported: each look through it takes 0.3 s, and unshares its memory

    def on_epoch(epoch: int, value: float) -> None:
        connection.send(("progress", epoch, value))
        if not connection.recv():
            raise JobEnded

    try:
        function, arguments = connection.recv()
        message: tuple[Any, ...] = ("done", getattr(worker, function)(*arguments, on_epoch))
    except JobEnded:
        message = ("stopped",)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        os._exit(1)  # the parent is gone, so nobody wants the result
    except Exception as error:
        name = type(error).__name__
        memory = isinstance(error, MemoryError) or name == "ResourceExhaustedError"  # TensorFlow's
        message = ("failed", f"{'out of memory: ' if memory else ''}{name}: {error}")
    try:
        connection.send(message)
    except OSError:
        os._exit(1)


def _end_with_the_parent() -> None:
    """A trial whose search is gone would write to the same checkpoint as the one that goes on with it."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
