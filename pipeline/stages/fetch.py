"""fetch: a verified dataset as one table."""

import json
import shutil

from contracts.settings.load import Params
from pipeline.paths import Paths, var
from pipeline.sources.own_table import lineage, read_source
from pipeline.sources.readers import load_raw
from pipeline.tables import write_rows


def run(params: Params, paths: Paths) -> None:
    """Write `data.parquet` to the raw folder: features, target, and the source's own test rows marked."""
    notes: list[str] = []
    if params.source.is_file:
        table, notes, digest = read_source(params.source)
    else:
        table = load_raw(params.dataset, params.source, params.fetch, var() / "downloads")
    shutil.rmtree(paths.raw, ignore_errors=True)
    paths.raw.mkdir(parents=True)
    write_rows(paths.raw / "data.parquet", table)
    if params.source.is_file:
        origin = json.dumps(lineage(params.source, digest)) + "\n"
        (paths.raw / "source.json").write_text(origin, encoding="utf-8")
    print("; ".join([f"  {params.dataset}: {table.num_rows:,} rows", *notes]))
