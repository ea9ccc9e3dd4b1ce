"""Processes that work on the pieces of a file, with results in the order of the pieces."""

import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import islice
from threading import Thread
from typing import TypeVar

import pyarrow as pa

AHEAD = 2  # pieces for each process whose results are computed ahead
ENDED = (
    "a process that reads rows was ended from outside, as the system does where memory runs out: "
    "end other programs there, and run again"
)

Piece = TypeVar("Piece")
Waiting = TypeVar("Waiting")
Result = TypeVar("Result")


def in_order(
    pieces: Iterable[Piece],
    submit: Callable[[Piece], Waiting],
    result: Callable[[Waiting], Result],
    room: Callable[[], int],
) -> Iterator[Result]:
    """The results of tasks in the order of the pieces, with a few tasks ahead of the caller.

    Args:
        room: gives the present number of tasks that may run at the same time.
    """
    waiting: deque[Waiting] = deque()
    left = iter(pieces)
    while True:
        waiting.extend(map(submit, islice(left, max(0, max(1, AHEAD * room()) - len(waiting)))))
        if not waiting:
            return
        yield result(waiting.popleft())


def processes(workers: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), initializer=_begin)


def _begin() -> None:
    """Start a process that computes with one thread, and ends with its parent, however the parent ends."""
    Thread(target=_end_with_parent, daemon=True).start()
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
