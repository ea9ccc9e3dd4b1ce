"""fetch: a verified dataset as one table."""

import json
import shutil

from contracts.files import md5
from contracts.settings.load import Params
from pipeline.data_contract.enforcement import enforce_contract
from pipeline.paths import Paths, var
from pipeline.sources.own_table import lineage, read_source
from pipeline.sources.readers import load_raw
from pipeline.tables import write_rows


def run(params: Params, paths: Paths) -> None:
    """Write `data.parquet` to the raw folder: features, target, and the source's own test rows marked."""
    enforce_contract(params, paths)
    notes: list[str] = []
    origin: dict[str, str | None] = {"contract": md5(paths.contract)} if paths.contract.exists() else {}
    if params.source.is_file:
        table, notes, digest = read_source(params.source)
        origin = lineage(params.source, digest) | origin
    else:
        table = load_raw(params.dataset, params.source, params.fetch, var() / "downloads")
    shutil.rmtree(paths.raw, ignore_errors=True)
    paths.raw.mkdir(parents=True)
    write_rows(paths.raw / "data.parquet", table)
    if origin:
        (paths.raw / "source.json").write_text(json.dumps(origin) + "\n", encoding="utf-8")
    print("; ".join([f"  {params.dataset}: {table.num_rows:,} rows", *notes]))
