"""preprocess: split the rows, and infer the schema from the train split."""

import json
from contextlib import ExitStack

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from contracts.errors import count, printable
from contracts.files import md5, write_atomically
from contracts.schema import Schema
from contracts.settings.load import Params
from pipeline.data.partition import PARTS, divide
from pipeline.data.roles import split_hints
from pipeline.data.schema_inference import infer_schema
from pipeline.data.target_checks import check_target
from pipeline.data_report.report import write_report
from pipeline.paths import Paths
from pipeline.resources import choose
from pipeline.streaming.needs import check_stream, needs_as_whole
from pipeline.streaming.prepare import Prepared, prepare
from pipeline.tables import IS_TEST, infer_task, write_rows

PRINTED = 5  # worst warnings that are printed


def run(params: Params, paths: Paths) -> None:
    """Write `train`, `validation` and `test.parquet`, `schema.json`, and the data report with its warnings.

    All constants come from the train split.
    """
    raw = paths.raw / "data.parquet"
    choice = choose(params.fetch.memory, needs_as_whole(raw), "fetch.memory")
    streams = choice.streams and params.source.image is None
    if params.source.is_file and params.source.image is None and not choice.is_clear:
        print(f"  {params.dataset}: {choice.reason}")
    if streams:
        check_stream(raw, choice.limit)
    prepared = _stream(params, paths) if streams else _prepare(params, paths)
    schema, rows = prepared.schema, prepared.rows
    schema.save(paths.prepared / "schema.json")
    counts = ", ".join(f"{n:,} {name}" for name, n in rows.items())
    features, rule = f"{schema.task} with {len(schema.features)} features", params.source.splits_by.by
    print(f"  {params.dataset}: {features}; {counts} rows, by {rule}")
    for note in schema.split.notes if schema.split else ():
        print(f"  {params.dataset}: {printable(note)}")
    for column in schema.dropped:
        print(f"  {params.dataset}: {column.name} is left out ({column.role}): {column.reason}")
    findings = write_report(paths.data_report, schema, prepared.tables, params.preprocess.seed, rows)
    seen = [{"kind": f.kind, "seen": f.seen, "advice": f.advice} for f in findings]
    (paths.prepared / "warnings.json").write_text(json.dumps(seen, indent=2) + "\n", encoding="utf-8")
    for finding in findings[:PRINTED]:
        print(f"  {params.dataset}: warning, {printable(str(finding))}")
    part, table = next(iter(prepared.tables.items()))
    sample = f", counted in a sample of {len(table):,} {part} rows" if findings and len(table) < rows[part] else ""
    print(f"  {params.dataset}: {paths.data_report} describes the data, {count(len(findings), 'warning')}{sample}")


def _stream(params: Params, paths: Paths) -> Prepared:
    with ExitStack() as stack:
        files = {part: stack.enter_context(write_atomically(paths.prepared / f"{part}.parquet")) for part in PARTS}
        return prepare(paths.raw / "data.parquet", files, params)


def _prepare(params: Params, paths: Paths) -> Prepared:
    raw = paths.raw / "data.parquet"
    table = pq.read_table(raw)
    task = params.source.task or infer_task(table)
    source = params.source.model_copy(update={"task": task})
    if source.is_file:
        check_target(table, params.source, task)
    parts, notes = divide(table, source, params.preprocess, by_class=task in ("multiclass", "binary"))
    if IS_TEST in table.column_names:
        table = table.drop_columns([IS_TEST])
    notes += split_hints(table, source)
    bins = params.bins_for(len(parts["train"]))
    schema = infer_schema(params.dataset, source, table.take(parts["train"]), md5(raw), bins, notes)
    schema = schema.model_copy(update={"missing_elsewhere": _gaps(table, schema)})
    paths.prepared.mkdir(parents=True, exist_ok=True)
    tables = {name: table.take(rows) for name, rows in parts.items()}
    for name, rows_of_part in tables.items():
        write_rows(paths.prepared / f"{name}.parquet", rows_of_part)
    return Prepared(schema, {name: len(rows) for name, rows in parts.items()}, tables)


def _gaps(table: pa.Table, schema: Schema) -> tuple[str, ...]:
    """The features that are missing in rows outside of train."""
    names = (feature.name for feature in schema.features if not getattr(feature, "missing", True))
    return tuple(name for name in names if pc.any(pc.is_null(table[name], nan_is_null=True)).as_py())
