"""preprocess: split the rows, and infer the schema from the train split."""

import json

import pyarrow.compute as pc
import pyarrow.parquet as pq

from contracts.errors import printable
from contracts.files import md5
from contracts.settings.load import Params
from pipeline.data.partition import divide
from pipeline.data.roles import split_hints
from pipeline.data.schema_inference import infer_schema
from pipeline.data.target_checks import check_target
from pipeline.data_report.report import write_report
from pipeline.paths import Paths
from pipeline.tables import IS_TEST, infer_task, write_rows

PRINTED = 5  # warnings, the worst


def run(params: Params, paths: Paths) -> None:
    """Write `train`, `validation` and `test.parquet`, `schema.json`, and the data report with its warnings.

    No constant sees another split than train.
    """
    raw = paths.raw / "data.parquet"
    table = pq.read_table(raw)
    settings = params.preprocess
    task = params.source.task or infer_task(table)
    source = params.source.model_copy(update={"task": task})
    if source.is_file:
        check_target(table, params.source, task)
    parts, notes = divide(table, source, settings, by_class=task in ("multiclass", "binary"))
    if IS_TEST in table.column_names:
        table = table.drop_columns([IS_TEST])
    notes += split_hints(table, source)
    bins = params.bins_for(len(parts["train"]))
    schema = infer_schema(params.dataset, source, table.take(parts["train"]), md5(raw), bins, notes)
    names = tuple(f.name for f in schema.features if not getattr(f, "missing", True))
    gaps = tuple(name for name in names if pc.any(pc.is_null(table[name], nan_is_null=True)).as_py())
    schema = schema.model_copy(update={"missing_elsewhere": gaps})
    paths.prepared.mkdir(parents=True, exist_ok=True)
    schema.save(paths.prepared / "schema.json")
    tables = {name: table.take(rows) for name, rows in parts.items()}
    for name, rows_of_part in tables.items():
        write_rows(paths.prepared / f"{name}.parquet", rows_of_part)
    counts = ", ".join(f"{len(rows):,} {name}" for name, rows in parts.items())
    print(f"  {params.dataset}: {task} with {len(schema.features)} features; {counts} rows, by {source.splits_by.by}")
    for note in notes:
        print(f"  {params.dataset}: {printable(note)}")
    for column in schema.dropped:
        print(f"  {params.dataset}: {column.name} is left out ({column.role}): {column.reason}")
    findings = write_report(paths.data_report, schema, tables, settings.seed)
    seen = [{"kind": f.kind, "seen": f.seen, "advice": f.advice} for f in findings]
    (paths.prepared / "warnings.json").write_text(json.dumps(seen, indent=2) + "\n", encoding="utf-8")
    for finding in findings[:PRINTED]:
        print(f"  {params.dataset}: warning, {printable(str(finding))}")
    warnings = "1 warning" if len(findings) == 1 else f"{len(findings)} warnings"
    print(f"  {params.dataset}: {paths.data_report} describes the data, {warnings}")
