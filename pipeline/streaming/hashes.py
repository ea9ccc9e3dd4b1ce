"""The hashes of all rows of a file, row group by row group, by as many processes as there are cores."""

import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from pathlib import Path
from threading import Thread
from typing import NamedTuple, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from contracts.errors import UserError
from pipeline.data.row_hashes import hash_rows
from pipeline.resources import cores

ROWS_FOR_PROCESSES = 500_000  # processes take a second to start
AHEAD = 2  # row groups that are hashed before they are asked for, for each process

Waiting = TypeVar("Waiting")


class Columns(NamedTuple):
    """What is hashed: these columns of a file, with a seed."""

    path: Path
    names: Sequence[str]
    seed: int


def hash_groups(columns: Columns) -> Generator[np.ndarray]:
    """The hashes of each row group, as `hash_rows` makes them."""
    metadata, workers = pq.read_metadata(columns.path), cores()
    groups = range(metadata.num_row_groups)
    if metadata.num_rows < ROWS_FOR_PROCESSES or workers == 1:
        yield from (hash_group(columns, group) for group in groups)
        return
    with processes(workers) as pool:
        try:
            yield from in_order(
                groups,
                lambda group: pool.submit(hash_group, columns, group),
                lambda future: future.result(),
                lambda: workers,
            )
        except BrokenProcessPool:
            raise UserError(
                "a process that hashes rows was ended from outside, as the system does where memory runs out: "
                "end other programs, and run again"
            ) from None
        finally:
            pool.shutdown(cancel_futures=True)


def in_order(
    groups: range,
    submit: Callable[[int], Waiting],
    result: Callable[[Waiting], np.ndarray],
    room: Callable[[], int],
) -> Iterator[np.ndarray]:
    """The results of tasks in the order of the groups, with a few tasks ahead of those that are taken.

    Args:
        room: how many tasks run at the same time, now.
    """
    waiting: deque[Waiting] = deque()
    left = iter(groups)
    while True:
        waiting.extend(map(submit, islice(left, max(0, max(1, AHEAD * room()) - len(waiting)))))
        if not waiting:
            return
        yield result(waiting.popleft())


def processes(workers: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), initializer=_begin)


def hash_group(columns: Columns, group: int) -> np.ndarray:
    names = list(columns.names)
    file = pq.ParquetFile(columns.path, read_dictionary=names)  # texts by their different values; numbers stay numbers
    return hash_rows(file.read_row_group(group, columns=names), names, columns.seed)


def _begin() -> None:
    """A process computes with one thread, and ends with its parent, however that ends."""
    Thread(target=_end_with_parent, daemon=True).start()
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
