"""How often each text of a column occurs, in one pass and a bounded memory."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.data.texts import Texts, count_spaces

MOST_KEPT = 200_000  # most different texts with exact counts
HASHES = 2**14  # lowest hashes by which more different texts are counted, with a standard error of 1 / 128


class Counts:
    """A frequency sketch that can be merged: exact up to `MOST_KEPT` different texts.

    Beyond that a count is too low by at most 2 / MOST_KEPT of the rows (Misra and Gries, 1982; Agarwal et al., 2012,
    Mergeable Summaries), and the different texts are estimated by their lowest hashes (Bar-Yossef et al., 2002).
    """

    def __init__(self) -> None:
        self.table = pa.table({"text": pa.array([], pa.string()), "count": pa.array([], pa.int64())})
        self.present = 0
        self.lowest: np.ndarray | None = None  # hashes, once counts are no longer exact
        self.spaces: float | None = None

    def add(self, column: pa.ChunkedArray) -> None:
        found = pc.value_counts(column.drop_null())
        texts, counts = found.field("values").cast(pa.string()), found.field("counts")
        self._merge(pa.table({"text": texts, "count": counts}))

    def _merge(self, other: pa.Table) -> None:
        self.present += pc.sum(other["count"]).as_py() or 0
        if len(self.table):
            together = (
                pa.concat_tables([self.table, other]).group_by("text", use_threads=False).aggregate([("count", "sum")])
            )
            self.table = together.rename_columns(["text", "count"])
        else:
            self.table = other
        if self.lowest is not None:
            self._note_hashes(other)
        if len(self.table) <= MOST_KEPT:
            return
        if self.lowest is None:
            self.spaces = count_spaces(_series(self.table)) / self.present
            self.lowest = np.empty(0, np.uint64)
            self._note_hashes(self.table)
        counts = self.table["count"].to_numpy()
        left = counts - np.partition(counts, -MOST_KEPT // 2)[-MOST_KEPT // 2]
        kept = np.flatnonzero(left > 0)
        self.table = pa.table({"text": self.table["text"].take(kept), "count": left[kept]})

    def _note_hashes(self, table: pa.Table) -> None:
        assert self.lowest is not None
        hashes = pd.util.hash_array(table["text"].to_numpy(zero_copy_only=False), categorize=False)
        if len(self.lowest) == HASHES:
            hashes = hashes[hashes < self.lowest[-1]]  # sort only the few lowest, because sorting all takes long
        self.lowest = np.unique(np.concatenate([self.lowest, hashes]))[:HASHES]

    @property
    def distinct(self) -> int:
        if self.lowest is None or len(self.lowest) < HASHES:
            return len(self.table) if self.lowest is None else len(self.lowest)
        return min(self.present, round((HASHES - 1) / (float(self.lowest[-1]) / 2.0**64)))


def count_texts(path: Path, name: str) -> Texts:
    """The texts of a column of a Parquet file."""
    counts, rows = Counts(), 0
    file = pq.ParquetFile(path, read_dictionary=[name], pre_buffer=False)
    for group in range(file.num_row_groups):
        column = file.read_row_group(group, columns=[name], use_threads=False)[name]
        rows += len(column)
        counts.add(column)
    spaces = counts.spaces
    kept = _series(counts.table)
    if spaces is None:
        spaces = count_spaces(kept) / max(counts.present, 1)
    return Texts(name, rows, counts.present, kept, counts.distinct, spaces)


def _series(table: pa.Table) -> pd.Series:
    return pd.Series(table["count"].to_numpy(), index=table["text"].to_pandas())
