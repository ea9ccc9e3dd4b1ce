"""The hashes of all rows of a file, row group by row group, by as many processes as there are cores."""

import multiprocessing
import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from itertools import islice
from pathlib import Path
from threading import Thread

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.data.row_hashes import hash_rows
from pipeline.resources import cores

ROWS_FOR_PROCESSES = 500_000  # processes take a second to start
AHEAD = 2  # row groups that are hashed before they are asked for, for each process


def hash_groups(path: Path, names: Sequence[str], seed: int) -> Iterator[np.ndarray]:
    """The hashes of each row group, as `hash_rows` makes them of these columns."""
    metadata, workers = pq.read_metadata(path), cores()
    groups = range(metadata.num_row_groups)
    if metadata.num_rows < ROWS_FOR_PROCESSES or workers == 1:
        yield from (_hash_group(path, group, names, seed) for group in groups)
        return
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), initializer=_begin) as pool:
        waiting: deque[Future[np.ndarray]] = deque()
        left = iter(groups)
        try:
            while True:
                for group in islice(left, AHEAD * workers - len(waiting)):
                    waiting.append(pool.submit(_hash_group, path, group, names, seed))
                if not waiting:
                    return
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


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


def _hash_group(path: Path, group: int, names: Sequence[str], seed: int) -> np.ndarray:
    return hash_rows(pq.ParquetFile(path).read_row_group(group, columns=list(names)), names, seed)
