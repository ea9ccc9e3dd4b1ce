"""The columns of a file of train rows, each read separately: numbers as a whole, texts as counts."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.data.texts import Texts
from pipeline.resources import cores
from pipeline.streaming.text_counts import count_texts
from pipeline.tables import TARGET, is_numeric

HEAD = 1000  # first rows among which one without missing values is searched


class FileRows:
    """Train rows in a file, for `infer_schema`: every constant of a column is that of all its values."""

    def __init__(self, path: Path, sample: pa.Table, scheduler: str | None = None) -> None:
        """
        Args:
            scheduler: of a Dask cluster, whose workers examine the columns; None for this machine.
        """
        self.path, self.sample, self.scheduler = path.resolve(), sample, scheduler
        self.schema = pq.read_schema(path)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle it for a worker without the sample, which is large."""
        return FileRows, (self.path, self.schema.empty_table())

    @cached_property
    def target(self) -> pa.Table:
        return pq.read_table(self.path, columns=[TARGET])

    def column(self, name: str, ordered: bool) -> pd.Series | Texts:
        if ordered or is_numeric(self.schema.field(name).type):
            return pq.read_table(self.path, columns=[name], use_threads=False)[name].to_pandas().rename(name)
        return count_texts(self.path, name)

    def head(self) -> pd.DataFrame:
        """The first rows and the sample; whole numbers are floats if the file has a missing one."""
        file = pq.ParquetFile(self.path)
        rows = pa.concat_tables([file.read_row_group(0).slice(0, HEAD), self.sample])
        for position, field in enumerate(self.schema):
            if pa.types.is_integer(field.type) and not rows[field.name].null_count and self._misses(field.name):
                rows = rows.set_column(position, field.name, rows[field.name].cast(pa.float64()))
        return rows.to_pandas()

    def _misses(self, name: str) -> bool:
        return bool(pq.read_table(self.path, columns=[name])[name].null_count)

    def each(self, examine: Callable[[Any], Any], columns: Iterable[Any]) -> Iterable[Any]:
        with ThreadPoolExecutor(cores()) as threads:
            return list(threads.map(examine, columns))

    def each_elsewhere(self, examine: Callable[[Any], Any], columns: Iterable[Any]) -> Iterable[Any]:
        """What `examine` finds in each column, by its name. Those that take longest begin first: texts, then dates."""
        names = list(columns)
        by_cost = sorted(names, key=lambda name: _rank(self.schema.field(name).type))
        if self.scheduler is None:
            found = self.each(examine, by_cost)
        else:
            from pipeline.streaming.cluster import on_cluster

            found = on_cluster(self.scheduler, self.path, examine, by_cost, "columns")
        result = dict(zip(by_cost, found, strict=True))
        return [result[name] for name in names]


def _rank(kind: pa.DataType) -> int:
    return 0 if pa.types.is_string(kind) else 1 if pa.types.is_temporal(kind) else 2
