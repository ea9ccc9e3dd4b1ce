"""Jobs in processes of their own, each forked from one that has imported TensorFlow already.

A process for each job costs some hundredths of a second, because only the fork server pays for the import.
In return memory cannot grow from trial to trial, and a job that crashes takes nothing down with it.
"""

import contextlib
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from typing import Any

from contracts.errors import UserError
from models.search.workers import process
from models.search.workers.events import Done, Event, Failed, Progress

TRAINING = "models.search.train_trial"  # by name: importing it here would import TensorFlow


class JobFailed(UserError):
    """A job that had to succeed did not."""


@dataclass(frozen=True)
class _Running:
    job: Any
    process: Any
    limit: float | None
    deadline: float
    kills_before: int


class Pool:
    """Starts jobs, each in its own process, and yields their events.

    Args:
        module: has the functions that the jobs run; every process has imported it when it starts.
        workers: jobs that may run at the same time.
        ahead: fork the process of the next job while the present one runs. This saves some hundredths of a second for
            each job.
    """

    def __init__(self, module: str = TRAINING, workers: int = 1, ahead: bool = False) -> None:
        self.module, self.workers, self.ahead = module, workers, ahead
        self._running: dict[Connection, _Running] = {}
        self._spare: tuple[Connection, Any] | None = None
        process.start_fork_server(module)

    def __len__(self) -> int:
        return len(self._running)

    def room(self) -> int:
        """How many jobs may run at the same time."""
        return self.workers

    def start(self, job: Any, function: str, *arguments: Any, limit: float | None = None) -> None:
        """Run `function(*arguments, on_epoch)` of the pool's module in a process of its own.

        Its `on_epoch(epoch, value)` reports, and returns once the job may go on.

        Args:
            job: any label, which comes back in the events.
            limit: seconds after which the job is ended, and has failed.
        """
        connection, child = self._spare or process.fork()
        self._spare = None
        try:
            connection.send((self.module, function, arguments))
        except OSError:  # the spare process was ended from outside
            connection, child = process.fork()
            connection.send((self.module, function, arguments))
        deadline = time.monotonic() + (math.inf if limit is None else limit)
        self._running[connection] = _Running(job, child, limit, deadline, process.kills_for_memory())
        if self.ahead:
            self._spare = process.fork()

    def events(self, seconds: float | None = None) -> Iterator[Event]:
        """Wait for events, at most `seconds`, and yield them."""
        soonest = min((running.deadline for running in self._running.values()), default=math.inf) - time.monotonic()
        patience = max(0.0, min(soonest, math.inf if seconds is None else seconds))
        for connection in wait(list(self._running), None if patience == math.inf else patience):
            assert isinstance(connection, Connection)
            running = self._running[connection]
            try:
                event = connection.recv()
            except (EOFError, ConnectionResetError):
                running.process.join()
                event = Failed(None, process.why_it_died(running.process, running.kills_before))
            if not isinstance(event, Progress):
                del self._running[connection]  # its process ends by itself, while the next one starts
                connection.close()
            yield replace(event, job=running.job)
        for connection, running in list(self._running.items()):
            if running.deadline <= time.monotonic():
                self._kill(connection)
                yield Failed(running.job, f"it took longer than search.trial_timeout, {running.limit:g} s")

    def answer(self, progress: Progress, go_on: bool) -> None:
        """Tell the job that reported whether to go on; it waits for this."""
        for connection, running in self._running.items():
            if running.job is progress.job:
                with contextlib.suppress(OSError):  # it died meanwhile, which `events` reports
                    connection.send(go_on)

    def result(self) -> Any:
        """Wait for the end of the one job that runs, and return its result.

        Raises:
            JobFailed: with the reason.
        """
        (result,) = self._results().values()
        return result

    def results(self, function: str, calls: list[tuple[Any, ...]]) -> list[Any]:
        """Run a function once for each tuple of arguments, `workers` at the same time; the results in that order.

        Raises:
            JobFailed: with the reason of the first that fails.
        """
        results: dict[Any, Any] = {}
        for number, arguments in enumerate(calls):
            if len(self) == self.workers:
                results |= self._results(1)
            self.start(number, function, *arguments)
        results |= self._results(len(self))
        return [results[number] for number in range(len(calls))]

    def _results(self, n: int = 1) -> dict[Any, Any]:
        """Wait until `n` jobs have ended; their results by job."""
        results: dict[Any, Any] = {}
        while len(results) < n:
            for event in self.events():
                match event:
                    case Progress():
                        self.answer(event, go_on=True)
                    case Done(job, result):
                        results[job] = result
                    case Failed(_, reason):
                        raise JobFailed(reason)
        return results

    def close(self) -> list[Any]:
        """End the jobs that still run, and return them."""
        jobs = [running.job for running in self._running.values()]
        for running in self._running.values():
            running.process.kill()  # end all of them before waiting for the first
        for connection in list(self._running):
            self._kill(connection)
        if self._spare is not None:
            connection, child = self._spare
            connection.close()  # closing ends it
            child.join()
            self._spare = None
        return jobs

    def _kill(self, connection: Connection) -> None:
        running = self._running.pop(connection)
        running.process.kill()
        running.process.join()
        connection.close()

    def __enter__(self) -> "Pool":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
