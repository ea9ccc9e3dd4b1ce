"""Work on a file, piece by piece, on the workers of a Dask cluster, which read the file at the path of this machine."""

import contextlib
import hashlib
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

from distributed import Future, get_worker
from distributed.client import FutureCancelledError
from distributed.scheduler import KilledWorker

from contracts.errors import UserError
from models.search.workers.connection import CONNECT_TIMEOUT, POLL_SECONDS, Connection
from pipeline.streaming.processes import ENDED, in_order, processes

SETTING = "preprocess.scheduler"
TAIL = 2**16  # bytes at the end of a Parquet file, with the statistics of its columns


class Mark(NamedTuple):
    """The identity of a file: its size, and the hash of its end."""

    size: int
    end: str


def on_cluster(
    address: str, path: Path, function: Callable[[Any], Any], pieces: Iterable[Any], tasks: str
) -> Generator[Any]:
    """The results of a function for each piece of a file, in their order.

    Dask computes those of a worker that died on another one.

    Args:
        path: the absolute path that the function reads.
        tasks: the pieces of the function, as a plural noun.

    Raises:
        UserError: if the scheduler or too many workers are gone, or a worker does not reach the file.
    """
    connection = Connection(address, SETTING, tasks)
    client, resources, mark = connection.client, {connection.resource: 1}, _mark(path)

    def submit(piece: Any) -> Future:
        return client.submit(run_on_worker, path, mark, function, piece, resources=resources, pure=False)

    def result(future: Future) -> Any:
        while True:
            try:
                return future.result(timeout=POLL_SECONDS)
            except TimeoutError:
                if client.status not in ("running", "connecting"):
                    raise connection.lost() from None
                connection.room()  # it reports workers that come and go
            except FutureCancelledError:
                raise connection.lost() from None
            except KilledWorker as error:
                raise UserError(
                    f"the Dask workers at {address} died four times over the same {tasks}, the last one at "
                    f"{error.last_worker.address}: see their logs, or give them more memory"
                ) from None

    try:
        yield from in_order(pieces, submit, result, connection.room)
    finally:
        with contextlib.suppress(Exception):  # the scheduler may be gone
            client.run(end_processes, on_error="ignore")
            client.close(timeout=CONNECT_TIMEOUT)


_pools: list[ProcessPoolExecutor] = []  # at most one, of this worker
_lock = Lock()


def run_on_worker(path: Path, mark: Mark, function: Callable[[Any], Any], piece: Any) -> Any:
    """Run the function in a process of a worker, because Python hashes rows on one core for each process."""
    worker = get_worker()
    try:
        found: Mark | str = _mark(path)
    except OSError as error:
        found = error.strerror or str(error)
    if found != mark:
        received = f"a file of {found.size:,} bytes with another content" if isinstance(found, Mark) else found
        raise UserError(
            f"{SETTING}: expected {path}, as this machine has it, on every worker, received at "
            f"{worker.address}: {received}: start the workers in this folder of a shared file system, or set "
            f"{SETTING}: null to use this machine"
        )
    try:
        with _lock:
            if not _pools:
                _pools.append(processes(worker.state.nthreads))
            result = _pools[0].submit(function, piece)
        return result.result()
    except BrokenProcessPool:
        end_processes()
        raise UserError(f"{SETTING}: at {worker.address}, {ENDED}") from None


def end_processes() -> None:
    """End the processes of a worker. Another run that needs them starts them again."""
    with _lock:
        while _pools:
            _pools.pop().shutdown(wait=False)


def _mark(path: Path) -> Mark:
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - TAIL))
        return Mark(size, hashlib.md5(file.read(), usedforsecurity=False).hexdigest())
