"""Rows of a query, of an address, or of many JSON lines, in files of this machine that all other code reads."""

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from contracts.errors import UserError, printable
from contracts.settings.load import Fetch
from contracts.settings.source import Source
from pipeline.paths import var
from pipeline.resources import choose
from pipeline.sources.conversion.types import check_schema
from pipeline.sources.download import ProgressBar, SourceFailed, open_store, retry, source_errors
from pipeline.sources.files import absolute, part_names
from pipeline.sources.json_lines import find_schema, line_batches
from pipeline.sources.own_table import local_md5
from pipeline.sources.queries import query_batches
from pipeline.sources.streaming.fetch import state_of
from pipeline.sources.streaming.size import is_json_lines, needs_as_whole
from pipeline.tables import row_groups

FIELDS = ("source", "test_source")
LEAST_FREE = 2**30  # bytes of the disk that stay free: a query, or what a server sends, may be endless
EVERY = 10  # seconds between two lines of progress
FULL = f"leave less than {LEAST_FREE / 2**30:g} GiB of the disk"


class Local(NamedTuple):
    """A source whose rows are in files of this machine; whether they are all of its rows; and the hash of its own
    files, if the rows were written to others.
    """

    source: Source
    is_all: bool
    md5: str | None


@contextmanager
def local_files(source: Source, name: str, fetch: Fetch, most_rows: float = float("inf")) -> Iterator[Local]:
    """The source, with local files in place of others, which are removed afterwards: a folder of Parquet files for a
    query, and for JSON lines that do not fit into memory; the file of an address, or the folder with its files.

    Args:
        name: of the dataset.
        most_rows: after which no more of a query and of JSON lines are read.

    Raises:
        UserError: if the rows cannot be read, with the reason; if they fill the disk.
    """
    if source.image is not None or not source.is_file:
        yield Local(source, True, None)
        return
    folder, names = _own_folder(name), dict[str, str]()
    try:
        local = Local(source, True, None)
        if source.database is not None:
            names[str(folder)] = "the query"
            is_all = _write(query_batches(source.source, source.database), "the query", folder, most_rows)
            local = Local(source.model_copy(update={"source": str(folder), "database": None}), is_all, None)
        for field in FIELDS:
            if "://" in (address := getattr(local.source, field) or ""):
                path = _download(address, folder / field, fetch)
                names[path] = address.rstrip("/")
                local = local._replace(source=local.source.model_copy(update={field: path}))
        if is_json_lines(local.source) and choose(fetch.memory, needs_as_whole(local.source), "fetch.memory").streams:
            local = _rewrite(local.source, folder / "rows", most_rows)
        try:
            yield local
        except UserError as error:
            message = str(error)
            for path, named in names.items():
                message = message.replace(path, named)
            raise UserError(message) from None
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _own_folder(name: str) -> Path:
    """A folder of this process for a dataset; those of processes that were killed are removed."""
    for left in (var() / "fetched").glob(f"{name}.*"):
        try:
            os.kill(int(left.suffix[1:]), 0)
        except PermissionError:  # it runs, as another user
            continue
        except (ProcessLookupError, ValueError):
            shutil.rmtree(left, ignore_errors=True)
    return var() / "fetched" / f"{name}.{os.getpid()}"


def _rewrite(source: Source, folder: Path, most_rows: float) -> Local:
    """Write JSON lines as Parquet files, a folder for each of the source and its test rows."""
    fields = {field: part_names(absolute(name)) for field in FIELDS if (name := getattr(source, field))}
    paths = [path for files in fields.values() for path in files]
    before, is_all = [state_of(path) for path in paths], True
    for field, files in fields.items():
        for path in files:
            batches = line_batches(path, find_schema(path, source, most_rows), source)
            is_all &= _write(batches, Path(path).name, folder / field, most_rows)
    if changed := [path for path, state in zip(paths, before, strict=True) if state_of(path) != state]:
        raise UserError(f"{changed[0]} changed while it was read: run again when it is complete")
    return Local(source.model_copy(update={field: str(folder / field) for field in fields}), is_all, local_md5(source))


def _write(batches: Iterator[pa.Table], name: str, folder: Path, most_rows: float) -> bool:
    """Write Parquet files, a new one when a column gets another type, which happens a few times at most; returns
    whether these are all rows.
    """
    folder.mkdir(parents=True, exist_ok=True)
    n_rows, n_files, schema, said = 0, len(list(folder.iterdir())), None, time.monotonic()
    with ExitStack() as file:
        for batch in batches:
            if batch.schema != schema:
                file.close()
                check_schema(name, batch.schema)
                schema, n_files = batch.schema, n_files + 1
                add = file.enter_context(row_groups(folder / f"{n_files:06}.parquet", schema))
            add(batch)
            n_rows += len(batch)
            if n_rows >= most_rows:
                return False
            if time.monotonic() > said + EVERY:
                said = time.monotonic()
                print(f"  {printable(name)}: {n_rows:,} rows so far", flush=True)
            if not _has_room(folder):
                raise UserError(f"{name}: its first {n_rows:,} rows {FULL}: select fewer rows, or free space")
    return True


def _download(address: str, folder: Path, fetch: Fetch) -> str:
    """The path of the file of an address; for a folder of a store, that of the folder with its files."""
    folder.mkdir(parents=True)
    name = address.partition("?")[0].rstrip("/").rpartition("/")[2].lstrip(".") or "rows"
    try:
        failures = retry(address, fetch.attempts, partial(_get, address, folder, name, fetch.timeout))
    except OSError as error:
        raise UserError(f"{address} could not be written to {folder}: {error.strerror or error}") from None
    if failures:
        raise UserError(f"{failures[-1].replace(address, f'{address} cannot be read', 1)}")
    return str(folder / name if (folder / name).is_file() else folder)


def _get(address: str, folder: Path, name: str, timeout: float) -> None:
    def check(received: int) -> None:
        if not _has_room(folder):
            raise SourceFailed(f"its first {received / 2**30:.1f} GiB {FULL}: free space", is_temporary=False)

    with source_errors(address, timeout):
        store, path = open_store(address, timeout)
        paths = {name: path}
        if not address.startswith(("http://", "https://")) and store.info(path)["type"] == "directory":
            store.invalidate_cache()  # of the files at an earlier time
            files = [Path(entry["name"]).name for entry in store.ls(path, detail=True) if entry["type"] == "file"]
            paths = {file: f"{path.rstrip('/')}/{file}" for file in files if not file.startswith((".", "_"))}
            if not paths:
                raise SourceFailed("expected a folder with files, received one without", is_temporary=False)
        for file, path in paths.items():
            with ProgressBar(file, check) as progress:
                store.get_file(path, str(folder / file), callback=progress)


def _has_room(folder: Path) -> bool:
    return shutil.disk_usage(folder).free >= LEAST_FREE
