"""fetch: a verified dataset as one table."""

import json
import shutil

from contracts.files import md5, write_atomically
from contracts.settings.load import Params
from pipeline.data_contract.breaks import Breaks
from pipeline.data_contract.contract import read_contract
from pipeline.data_contract.enforcement import contract_check, own_names, refuse
from pipeline.paths import Paths, var
from pipeline.resources import choose
from pipeline.sources.own_table import lineage, read_source
from pipeline.sources.readers import load_raw
from pipeline.sources.streaming.fetch import Fetched, fetch_stream
from pipeline.sources.streaming.size import can_stream, needs_as_whole
from pipeline.tables import write_rows


def run(params: Params, paths: Paths) -> None:
    """Write `data.parquet` to the raw folder: features, target, and the source's own test rows marked."""
    source = params.source
    streams = False
    if source.is_file and can_stream(source):
        choice = choose(params.fetch.memory, needs_as_whole(source), "fetch.memory")
        streams = choice.streams
        if not choice.is_clear:
            print(f"  {params.dataset}: {choice.reason}")
    fetched = _stream(params, paths) if streams else _fetch(params, paths)
    origin: dict[str, str | None] = {"contract": md5(paths.contract)} if paths.contract.exists() else {}
    if source.is_file:
        origin = lineage(source, fetched.md5) | origin
    if origin:
        (paths.raw / "source.json").write_text(json.dumps(origin) + "\n", encoding="utf-8")
    print("; ".join([f"  {params.dataset}: {fetched.rows:,} rows", *fetched.notes]))


def _stream(params: Params, paths: Paths) -> Fetched:
    breaks = Breaks(read_contract(paths.contract)) if paths.contract.exists() else None
    with write_atomically(paths.raw / "data.parquet") as unfinished:
        fetched = fetch_stream(params.source, unfinished, breaks.add if breaks is not None else None)
        if breaks is not None:
            refuse(breaks, paths)
    return fetched


def _fetch(params: Params, paths: Paths) -> Fetched:
    check = contract_check(params, paths)
    notes: list[str] = []
    digest = None
    if params.source.is_file:
        table, notes, digest = read_source(params.source, check)
    else:
        table = load_raw(params.dataset, params.source, params.fetch, var() / "downloads")
        check(own_names(table, params.source))
    shutil.rmtree(paths.raw, ignore_errors=True)
    paths.raw.mkdir(parents=True)
    write_rows(paths.raw / "data.parquet", table)
    return Fetched(table.num_rows, notes, digest)
