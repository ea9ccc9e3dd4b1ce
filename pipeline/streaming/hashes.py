"""The hashes of all rows of a file, row group by row group: by processes of this machine, or by a Dask cluster."""

from collections.abc import Generator
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from contracts.errors import UserError
from pipeline.data.row_hashes import hash_rows
from pipeline.resources import cores
from pipeline.streaming.processes import ENDED, in_order, processes

ROWS_FOR_PROCESSES = 500_000  # rows from which on processes save time, which take a second to start


def hash_groups(path: Path, names: list[str], seed: int, scheduler: str | None = None) -> Generator[np.ndarray]:
    """The hashes of each row group, as `hash_rows` makes them of these columns.

    Args:
        scheduler: of a Dask cluster, whose workers compute them; None for this machine.
    """
    path, metadata, workers = path.resolve(), pq.read_metadata(path), cores()
    groups, function = range(metadata.num_row_groups), partial(_hash_group, path, names, seed)
    if scheduler is not None:
        from pipeline.streaming.cluster import on_cluster

        yield from on_cluster(scheduler, path, function, groups, "rows")
    elif metadata.num_rows < ROWS_FOR_PROCESSES or workers == 1:
        yield from map(function, groups)
    else:
        with processes(workers) as pool:
            try:
                yield from in_order(groups, partial(pool.submit, function), Future.result, lambda: workers)
            except BrokenProcessPool:
                raise UserError(ENDED) from None
            finally:
                pool.shutdown(cancel_futures=True)


def _hash_group(path: Path, names: list[str], seed: int, group: int) -> np.ndarray:
    file = pq.ParquetFile(path, read_dictionary=names)  # only texts as dictionaries of their different values
    return hash_rows(file.read_row_group(group, columns=names), names, seed)
