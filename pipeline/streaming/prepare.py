"""A raw table as prepared files and a schema, without holding the table in memory."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from contracts.files import md5
from contracts.schema import Schema
from contracts.settings.load import Params
from pipeline.data.roles import split_hints
from pipeline.data.schema_inference import infer_schema
from pipeline.data.target_checks import check_target
from pipeline.streaming.columns import FileRows
from pipeline.streaming.parts import divide_file
from pipeline.tables import TARGET, infer_task


class Prepared(NamedTuple):
    """The schema; how many rows each part has; and its rows, or a sample of them, for the data report."""

    schema: Schema
    rows: dict[str, int]
    tables: dict[str, pa.Table]


def prepare(raw: Path, files: Mapping[str, Path], params: Params) -> Prepared:
    """Write the parts of a raw table to files, and infer the schema from the one of the train rows."""
    target = pq.read_table(raw, columns=[TARGET])
    task = params.source.task or infer_task(target)
    source = params.source.model_copy(update={"task": task})
    if source.is_file:
        check_target(target, params.source, task)
    has_classes = task in ("multiclass", "binary")
    classes = target[TARGET].cast(pa.string()).combine_chunks().dictionary_encode() if has_classes else None
    del target
    with ThreadPoolExecutor(1) as thread:
        raw_md5 = thread.submit(md5, raw)  # computed while the rows are divided
        divided, notes = divide_file(raw, files, source, params.preprocess, classes)
    notes += split_hints(_Columns(raw), source)
    rows = dict(zip(files, divided.rows, strict=True))
    train = FileRows(files["train"], divided.samples["train"], params.preprocess.scheduler)
    schema = infer_schema(params.dataset, source, train, raw_md5.result(), params.bins_for(rows["train"]), notes)
    names = tuple(f.name for f in schema.features if not getattr(f, "missing", True) and f.name in divided.incomplete)
    return Prepared(schema.model_copy(update={"missing_elsewhere": names}), rows, divided.smaller_samples())


class _Columns:
    """The columns of a file with the interface of a table; each is read when it is asked for."""

    def __init__(self, path: Path) -> None:
        self.path, self.schema = path, pq.read_schema(path)
        self.column_names = self.schema.names

    def __getitem__(self, name: str) -> pa.ChunkedArray:
        return pq.read_table(self.path, columns=[name])[name]
