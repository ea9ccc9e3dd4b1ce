"""fetch: a verified dataset as one table."""

import json
import shutil

from contracts.files import md5, write_atomically
from contracts.settings.load import Params, Source
from pipeline.data_contract.breaks import Breaks
from pipeline.data_contract.contract import read_contract
from pipeline.data_contract.enforcement import contract_check, own_names, refuse
from pipeline.paths import Paths, var
from pipeline.sources.own_table import lineage, read_source
from pipeline.sources.readers import load_raw
from pipeline.sources.streaming.fetch import Fetched, fetch_stream
from pipeline.sources.streaming.local_files import local_files
from pipeline.sources.streaming.size import choose_for
from pipeline.tables import write_rows


def run(params: Params, paths: Paths) -> None:
    """Write `data.parquet` to the raw folder: features, target, and the source's own test rows marked."""
    with local_files(params.source, params.dataset, params.fetch) as (source, _, digest):
        fetched = _stream(source, params, paths) if _streams(source, params) else _fetch(source, params, paths)
    origin: dict[str, str | None] = {"contract": md5(paths.contract)} if paths.contract.exists() else {}
    if params.source.is_file:
        origin = lineage(params.source, None if params.source.database else digest or fetched.md5) | origin
    if origin:
        (paths.raw / "source.json").write_text(json.dumps(origin) + "\n", encoding="utf-8")
    print("; ".join([f"  {params.dataset}: {fetched.rows:,} rows", *fetched.notes]))


def _streams(source: Source, params: Params) -> bool:
    """Whether the rows are read in batches; prints the reason."""
    choice = choose_for(source, params.fetch.memory)
    if not choice.is_clear:
        print(f"  {params.dataset}: {choice.reason}")
    return choice.streams


def _stream(source: Source, params: Params, paths: Paths) -> Fetched:
    breaks = Breaks(read_contract(paths.contract)) if paths.contract.exists() else None
    with write_atomically(paths.raw / "data.parquet") as unfinished:
        fetched = fetch_stream(source, unfinished, breaks.add if breaks is not None else None)
        if breaks is not None:
            refuse(breaks, paths)
    return fetched


def _fetch(source: Source, params: Params, paths: Paths) -> Fetched:
    check = contract_check(params, paths)
    notes: list[str] = []
    digest = None
    if source.is_file:
        table, notes, digest = read_source(source, check)
    else:
        table = load_raw(params.dataset, source, params.fetch, var() / "downloads")
        check(own_names(table, source))
    shutil.rmtree(paths.raw, ignore_errors=True)
    paths.raw.mkdir(parents=True)
    write_rows(paths.raw / "data.parquet", table)
    return Fetched(table.num_rows, notes, digest)
