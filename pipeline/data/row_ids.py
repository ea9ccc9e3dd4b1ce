"""Row ids: hashes that tell whether a model was trained on a row."""

import hashlib
from collections.abc import Set
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.data.splits import iter_rows
from pipeline.tables import IMAGE, TARGET


def read_row_ids(path: Path, gaps: Set[str] = frozenset(), known: Set[str] = frozenset()) -> np.ndarray:
    """The same as `row_ids` for the rows of a file, with a batch of them in memory.

    Args:
        known: columns of which it is known whether the train rows of a model had a gap; their rows with another gap
            cannot be among these, and have no id.
        gaps: those of them that had one.
    """
    gaps = gaps | (_columns_with_gaps(path) - known)
    return np.concatenate([_row_ids_of_batch(_without_gaps(table, known - gaps), gaps) for table in iter_rows(path)])


def _without_gaps(table: pa.Table, names: Set[str]) -> pa.Table:
    for name in names & set(table.column_names):
        if table[name].null_count:
            table = table.filter(pc.is_valid(table[name]))
    return table


def row_ids(table: pa.Table) -> np.ndarray:
    """A hash of each row's features, uint64 of shape (n_rows,); rows with equal features have the same hash."""
    if IMAGE in table.column_names:
        pixels = np.asarray(table[IMAGE].combine_chunks().flatten()).reshape(len(table), -1)
        return np.array(
            [int.from_bytes(hashlib.blake2b(row.tobytes(), digest_size=8).digest(), "little") for row in pixels],
            np.uint64,
        )
    return pd.util.hash_pandas_object(table.drop_columns([TARGET]).to_pandas(), index=False).to_numpy()


def _row_ids_of_batch(table: pa.Table, gaps: Set[str]) -> np.ndarray:
    """In pandas a whole number has another type, and so another hash, if its column has a gap in any row. Therefore
    each batch is hashed together with one more row that has all gaps of the file.
    """
    if not gaps or not len(table):
        return row_ids(table)
    first = table.slice(0, 1)
    for name in gaps & set(table.column_names):
        at = first.column_names.index(name)
        first = first.set_column(at, first.schema.field(at), [pa.nulls(1, first.schema.field(at).type)])
    return row_ids(pa.concat_tables([table, first]))[:-1]


def _columns_with_gaps(path: Path) -> set[str]:
    metadata = pq.read_metadata(path)
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    columns = [group.column(number) for group in groups for number in range(group.num_columns)]
    names = {column.path_in_schema for column in columns if column.statistics and column.statistics.null_count}
    return names & set(pq.read_schema(path).names) - {TARGET, IMAGE}
