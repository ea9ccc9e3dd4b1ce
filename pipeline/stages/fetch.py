"""fetch: bring a dataset here, verified, as one table."""

from contracts.settings.load import Params
from pipeline.paths import Paths, var
from pipeline.sources.readers import load_raw
from pipeline.tables import write_rows


def run(params: Params, paths: Paths) -> None:
    """Write `data.parquet` to the raw folder: features, target, and the source's own test rows marked."""
    table = load_raw(params.dataset, params.source, params.fetch, var() / "downloads")
    paths.raw.mkdir(parents=True, exist_ok=True)
    write_rows(paths.raw / "data.parquet", table)
    print(f"  {params.dataset}: {table.num_rows:,} rows")
