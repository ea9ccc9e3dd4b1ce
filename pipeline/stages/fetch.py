"""fetch: a verified dataset as one table."""

import json
import shutil

from contracts.settings.load import Params
from pipeline.paths import Paths, var
from pipeline.sources.files import local_md5, read_source
from pipeline.sources.readers import load_raw
from pipeline.tables import write_rows


def run(params: Params, paths: Paths) -> None:
    """Write `data.parquet` to the raw folder: features, target, and the source's own test rows marked."""
    notes: list[str] = []
    if params.source.is_file:
        digest = local_md5(params.source)
        table, notes = read_source(params.source)
    else:
        table = load_raw(params.dataset, params.source, params.fetch, var() / "downloads")
    shutil.rmtree(paths.raw, ignore_errors=True)
    paths.raw.mkdir(parents=True)
    write_rows(paths.raw / "data.parquet", table)
    if params.source.is_file:
        lineage = {"source": params.source.source, "md5": digest}
        (paths.raw / "source.json").write_text(json.dumps(lineage) + "\n", encoding="utf-8")
    print("; ".join([f"  {params.dataset}: {table.num_rows:,} rows", *notes]))
