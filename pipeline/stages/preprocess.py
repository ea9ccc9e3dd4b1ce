"""preprocess: split the rows, and infer the schema from the train split."""

import numpy as np
import pyarrow.parquet as pq

from contracts.files import md5
from contracts.settings.load import Params
from pipeline.data.schema_inference import infer_schema
from pipeline.data.splits import split_rows
from pipeline.data_report.report import write_report
from pipeline.paths import Paths
from pipeline.tables import IS_TEST, TARGET, infer_task, write_rows

PRINTED = 5  # warnings, the worst


def run(params: Params, paths: Paths) -> None:
    """Write `train`, `validation` and `test.parquet`, `schema.json` and the data report.

    No constant sees another split than train.
    """
    raw = paths.raw / "data.parquet"
    table = pq.read_table(raw)
    is_test = None
    if IS_TEST in table.column_names:
        is_test = table[IS_TEST].to_numpy()
        table = table.drop_columns([IS_TEST])
    settings = params.preprocess
    task = params.source.task or infer_task(table)
    source = params.source.model_copy(update={"task": task})
    stratify = task in ("multiclass", "binary")
    parts = split_rows(
        table[TARGET].to_numpy() if stratify else np.zeros(len(table)),
        is_test,
        settings.test_fraction,
        settings.validation_fraction,
        settings.seed,
        stratify=stratify,
    )
    schema = infer_schema(params.dataset, source, table.take(parts["train"]), md5(raw), settings.bins)
    paths.prepared.mkdir(parents=True, exist_ok=True)
    schema.save(paths.prepared / "schema.json")
    tables = {name: table.take(rows) for name, rows in parts.items()}
    for name, rows_of_part in tables.items():
        write_rows(paths.prepared / f"{name}.parquet", rows_of_part)
    counts = ", ".join(f"{len(rows):,} {name}" for name, rows in parts.items())
    print(f"  {params.dataset}: {task} with {len(schema.features)} features; {counts} rows")
    for column in schema.dropped:
        print(f"  {params.dataset}: {column.name} is left out ({column.role}): {column.reason}")
    findings = write_report(paths.data_report, schema, tables, settings.seed)
    for finding in findings[:PRINTED]:
        print(f"  {params.dataset}: warning, {finding}")
    print(f"  {params.dataset}: {paths.data_report} describes the data, with {len(findings)} kinds of warnings")
