"""Rows from a query or from lines as Parquet files, with the progress, and a limit for the disk."""

import shutil
import time
from collections.abc import Generator, Iterable
from contextlib import ExitStack, closing
from pathlib import Path

import pyarrow as pa

from contracts.errors import UserError, printable
from contracts.settings.source import Source
from pipeline.sources.conversion.types import check_schema, nested_columns
from pipeline.tables import row_groups

LEAST_FREE = 2**30  # bytes of the disk that stay free: a query, or what a server sends, may be endless
EVERY = 10  # seconds between two lines of progress
FULL = f"leave less than {LEAST_FREE / 2**30:g} GiB of the disk"


class Writer:
    """Writes batches as Parquet files, a new one when a column gets another type, which happens a few times at most.

    `is_all` says whether all rows were written; `source` leaves out the columns that were.
    """

    def __init__(self, name: str, folder: Path, source: Source, most_rows: float, drops_nested: bool) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.name, self.folder, self.source = name, folder, source
        self.most_rows, self.drops_nested = most_rows, drops_nested
        self.n_rows, self.is_all = 0, True

    def write(self, batches: Generator[pa.Table]) -> None:
        progress, schema = Progress(self.name, "read"), None
        with closing(batches), ExitStack() as file:
            for batch in batches:
                batch = self._checked(batch)
                if batch.schema != schema:
                    file.close()
                    schema, number = batch.schema, len(list(self.folder.glob("*.parquet")))
                    add = file.enter_context(row_groups(self.folder / f"{number:06}.parquet", schema))
                add(batch)
                self.n_rows += len(batch)
                progress(self.n_rows)
                if self.n_rows >= self.most_rows:
                    self.is_all = False
                    return
                if not has_room(self.folder):
                    raise UserError(
                        f"{self.name}: its first {self.n_rows:,} rows {FULL}: select fewer rows, or free space"
                    )

    def _checked(self, batch: pa.Table) -> pa.Table:
        """The batch with missing values in columns that are left out."""
        nested = nested_columns(batch.schema)
        if self.drops_nested:
            self.source = without(self.source, nested)
        check_schema(self.name, batch.schema, self.source.dropped)
        for column in nested:
            position = batch.column_names.index(column)
            batch = batch.set_column(position, column, pa.nulls(len(batch), pa.string()))
        return batch


class Progress:
    """Prints how many rows were read, every few seconds."""

    def __init__(self, name: str, done: str) -> None:
        self.name, self.done, self.said = name, done, time.monotonic()

    def __call__(self, n_rows: int) -> None:
        if time.monotonic() > self.said + EVERY:
            self.said = time.monotonic()
            print(f"  {printable(self.name)}: {n_rows:,} rows {self.done} so far", flush=True)


def without(source: Source, columns: Iterable[str]) -> Source:
    """The source without these columns, but with its targets."""
    dropped = {name: "drop" for name in columns if name not in source.targets}
    return source.model_copy(update={"columns": {**source.columns, **dropped}})


def has_room(folder: Path) -> bool:
    """Whether the disk of a folder has as many bytes free as shall stay free."""
    return shutil.disk_usage(folder).free >= LEAST_FREE
