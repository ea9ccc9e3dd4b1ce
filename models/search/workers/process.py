"""One process of a pool: how it is forked, what runs in it, and why it ended."""

import atexit
import contextlib
import errno
import gc
import importlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import psutil

from models.search.workers.events import Done, Event, Failed, Progress, Stopped

ROOT = Path(__file__).parents[3]

_context = multiprocessing.get_context("forkserver")
_environment = threading.Lock()  # a worker of a cluster starts several pools at once


@atexit.register
def _kill_jobs() -> None:
    """End the jobs of a process that a second signal ends before its pool is closed.

    Python would ask them to end by SIGTERM, which they ignore as the process does that has started their fork server,
    and wait for ever.
    """
    for job in multiprocessing.active_children():
        job.kill()


class _Stop(Exception):
    """Ends a job whose report was answered with stop."""


def start_fork_server(module: str) -> None:
    """Start the process that imports a module and is forked for each job, without waiting for it.

    Python has one such server for each process: a second call does nothing.
    """
    _context.set_forkserver_preload([module, __name__])
    resource_tracker.ensure_running()
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # the caller handles an interrupt
    with _path_for_children():
        forkserver._forkserver.ensure_running()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def inherit_fork_server() -> None:
    """In a fork of the process that has started the server: fork jobs from that server, or from a new one if it died.

    Before each job Python asks whether the server runs, which it can ask about a child of this process only.
    """
    server: Any = forkserver._forkserver
    inherited, ensure_running = server._forkserver_pid, server.ensure_running

    def ensure_one_runs() -> None:
        if server._forkserver_pid == inherited:
            with contextlib.suppress(psutil.NoSuchProcess):
                if psutil.Process(inherited).status() != psutil.STATUS_ZOMBIE:
                    return
            server._forkserver_pid = None
        with _path_for_children():
            ensure_running()

    server.ensure_running = ensure_one_runs


@contextlib.contextmanager
def _path_for_children() -> Iterator[None]:
    """In this context, new processes find this project's modules first, whatever their folder is.

    Python 3.11 gives its fork server a path that the server ignores. If the server then finds no module, it says
    nothing, and each job imports TensorFlow again.
    """
    with _environment:
        before = {name: os.environ.get(name) for name in ("PYTHONPATH", "PYTHONSAFEPATH")}
        paths = filter(None, (str(ROOT), before["PYTHONPATH"]))
        os.environ.update({"PYTHONPATH": os.pathsep.join(paths), "PYTHONSAFEPATH": "1"})
        try:
            yield
        finally:
            for name, value in before.items():
                del os.environ[name]
                if value is not None:
                    os.environ[name] = value


def fork() -> tuple[Connection, Any]:
    """A new process, and the connection at whose other end it waits for its job."""
    ours, theirs = _context.Pipe()
    process = _context.Process(target=_run, args=(theirs,), daemon=True)
    with signals_wait():  # else an exception would leave the fork server with half of a request
        process.start()
    theirs.close()
    return ours, process


@contextlib.contextmanager
def signals_wait() -> Iterator[None]:
    """Handle a signal only after this context, whose work must not be left half done.

    Blocking signals is not enough: one that arrives in another thread is handled in the main one nevertheless.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    arrived: list[int] = []
    before = {
        number: signal.signal(number, lambda number, _: arrived.append(number))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for late in arrived:
            signal.raise_signal(late)


def kills_for_memory() -> int:
    """How many processes Linux has killed for lack of memory since it was started."""
    try:
        counters = dict(line.split() for line in Path("/proc/vmstat").read_text().splitlines())
    except OSError:
        return 0
    return int(counters.get("oom_kill", 0))


def why_it_died(process: Any, kills_before: int) -> str:
    """The reason why a process ended without a result; `kills_before` is what `kills_for_memory` was at its start."""
    code = process.exitcode
    if code == -signal.SIGKILL and kills_for_memory() > kills_before:
        return "out of memory: the system ended its process (SIGKILL); fewer search.workers need less"
    if code == -signal.SIGKILL:
        return "its process was ended by SIGKILL, as the system does where memory runs out"
    if code is not None and code < 0:
        return f"its process was ended by {signal.Signals(-code).name}"
    return f"its process ended with exit code {code}"


def _run(connection: Connection) -> None:
    """Run in the new process: one job, from its name and arguments to its last event."""
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    with contextlib.suppress(OSError):  # if memory runs out, Linux ends this process and not the parent
        Path("/proc/self/oom_score_adj").write_text("500")
    gc.freeze()  # all that the fork server has imported: a full collection takes 0.3 s, and unshares this memory

    def on_epoch(epoch: int, value: float) -> None:
        connection.send(Progress(None, epoch, value))
        if not connection.recv():
            raise _Stop

    try:
        module, function, arguments = connection.recv()
        end: Event = Done(None, getattr(importlib.import_module(module), function)(*arguments, on_epoch))
    except _Stop:
        end = Stopped(None)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        os._exit(1)  # the parent is gone, so nobody wants the result
    except Exception as error:
        name = type(error).__name__
        memory = isinstance(error, MemoryError) or name == "ResourceExhaustedError"  # raised by TensorFlow
        end = Failed(None, f"{'out of memory: ' if memory else ''}{name}: {error}", _is_disk_full(error))
    try:
        connection.send(end)
    except OSError:
        os._exit(1)


def _is_disk_full(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            return True
        error = error.__cause__ or error.__context__
    return False


def _end_with_the_parent() -> None:
    """End this process with its parent: a trial whose search is gone would write to the same checkpoint as its
    successor.
    """
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
