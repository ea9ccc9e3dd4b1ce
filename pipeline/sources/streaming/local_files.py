"""Rows of a query, of an address, or of many JSON lines, in files of this machine that all other code reads."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

from contracts.errors import UserError
from contracts.settings.load import Fetch
from contracts.settings.source import Source
from pipeline.paths import var
from pipeline.resources import choose
from pipeline.sources.download import ProgressBar, SourceFailed, open_store, retry, source_errors
from pipeline.sources.files import absolute, nested_names, part_names
from pipeline.sources.json_lines import find_schema, line_batches
from pipeline.sources.own_table import local_md5
from pipeline.sources.queries import query_batches
from pipeline.sources.streaming.fetch import state_of
from pipeline.sources.streaming.parquet_writer import FULL, Progress, Writer, has_room, without
from pipeline.sources.streaming.size import is_json_lines, needs_as_whole

FIELDS = ("source", "test_source")
OF_FOLDER = "_folder"  # marks the files of a folder; a reader of folders passes it over
LONGEST_NAME = 200  # characters of the name of a file


class Local(NamedTuple):
    """A source whose rows are in files of this machine; whether they are all of its rows; and the hash of its own
    files, if the rows were written to others.
    """

    source: Source
    is_all: bool = True
    md5: str | None = None


@contextmanager
def local_files(
    source: Source, name: str, fetch: Fetch, most_rows: float = float("inf"), drops_nested: bool = False
) -> Iterator[Local]:
    """The source, with local files in place of others, which are removed afterwards: a folder of Parquet files for a
    query, and for JSON lines that do not fit into memory; the file of an address, or the folder with its files.

    Args:
        name: of the dataset.
        most_rows: after which no more of a query and of JSON lines are read.
        drops_nested: whether columns of lists, structures or bytes are left out, as `source.columns` then says.

    Raises:
        UserError: if the rows cannot be read, with the reason; if they fill the disk.
    """
    if source.image is not None or not source.is_file:
        yield Local(source)
        return
    with _own_folder(name) as folder:
        names = dict[str, str]()
        try:
            local = _local(source, folder, names, fetch, most_rows, drops_nested)
        except OSError as error:
            raise UserError(f"the rows could not be written to {folder}: {error.strerror or error}") from None
        try:
            yield local
        except UserError as error:
            message = str(error)
            for path in sorted(names, key=len, reverse=True):
                message = message.replace(path, names[path])
            raise UserError(message) from None


def _local(
    source: Source, folder: Path, names: dict[str, str], fetch: Fetch, most_rows: float, drops_nested: bool
) -> Local:
    """Write the files; `names` gets what a message says in place of each path."""
    if source.database is not None:
        names[str(folder)] = "the query"
        writer = Writer("the query", folder, source, most_rows, drops_nested)
        writer.write(query_batches(source.source, source.database))
        return Local(writer.source.model_copy(update={"source": str(folder), "database": None}), writer.is_all)
    for field in FIELDS:
        if "://" in (address := getattr(source, field) or ""):
            path = _download(address, folder / field, fetch)
            names[path] = address.rstrip("/")
            source = source.model_copy(update={field: path})
    if drops_nested:
        source = without(source, nested_names(source))
    if is_json_lines(source) and choose(fetch.memory, needs_as_whole(source), "fetch.memory").streams:
        return _rewrite(source, folder / "rows", names, most_rows, drops_nested)
    return Local(source)


@contextmanager
def _own_folder(name: str) -> Iterator[Path]:
    """A folder of this run for a dataset. Those of runs that were killed are removed: nobody holds their locks."""
    root = var() / "fetched"
    root.mkdir(parents=True, exist_ok=True)
    with _locked(root, waits=True):
        for left in root.glob(f"{name}.*"):
            with suppress(BlockingIOError), _locked(left):
                shutil.rmtree(left, ignore_errors=True)
        folder = Path(tempfile.mkdtemp(prefix=f"{name}.", dir=root))
        held = _locked(folder)
        held.__enter__()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        held.__exit__(None, None, None)


@contextmanager
def _locked(folder: Path, waits: bool = False) -> Iterator[None]:
    """Hold the lock of a folder, which ends with the process; BlockingIOError if another process holds it."""
    held = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | (0 if waits else fcntl.LOCK_NB))
        yield
    finally:
        os.close(held)


def _rewrite(source: Source, folder: Path, names: dict[str, str], most_rows: float, drops_nested: bool) -> Local:
    """Write JSON lines as Parquet files, a folder for each of the source and its test rows."""
    fields = {field: part_names(absolute(name)) for field in FIELDS if (name := getattr(source, field))}
    paths = [path for files in fields.values() for path in files]
    before, digest, is_all, rewritten = [state_of(path) for path in paths], local_md5(source), True, {}
    for field, files in fields.items():
        left = most_rows
        for path in files:
            name = Path(path).name
            schema = find_schema(path, source, left, Progress(name, "looked at"))
            writer = Writer(name, folder / field, source, left, drops_nested)
            writer.write(line_batches(path, schema, source))
            left, source, is_all = left - writer.n_rows, writer.source, is_all and writer.is_all
            if left <= 0:
                break
        rewritten[field] = str(folder / field)
        names[str(folder / field)] = getattr(source, field)
    if changed := [path for path, state in zip(paths, before, strict=True) if state_of(path) != state]:
        raise UserError(f"{changed[0]} changed while it was read: run again when it is complete")
    return Local(source.model_copy(update=rewritten), is_all, digest)


def _download(address: str, folder: Path, fetch: Fetch) -> str:
    """The path of the file of an address; for a folder of a store, that of the folder with its files."""
    name = address.partition("?")[0].rstrip("/").rpartition("/")[2].lstrip(".")[-LONGEST_NAME:] or "rows"
    failures = retry(address, fetch.attempts, partial(_get, address, folder, name, fetch.timeout))
    if failures:
        raise UserError(failures[-1].replace(address, f"{address} cannot be read", 1))
    return str(folder if (folder / OF_FOLDER).exists() else folder / name)


def _get(address: str, folder: Path, name: str, timeout: float) -> None:
    def check(received: int) -> None:
        if not has_room(folder):
            raise SourceFailed(f"its first {received / 2**30:.1f} GiB {FULL}: free space", is_temporary=False)

    shutil.rmtree(folder, ignore_errors=True)  # the files of an attempt that failed
    folder.mkdir(parents=True)
    with source_errors(address, timeout):
        store, path = open_store(address, timeout)
        store.invalidate_cache()  # the files may have changed
        files = {name: path}
        if not address.startswith(("http://", "https://")) and store.info(path)["type"] == "directory":
            (folder / OF_FOLDER).touch()
            found = [entry["name"] for entry in store.ls(path, detail=True) if entry["type"] == "file"]
            files = {Path(file).name: file for file in found if not file.endswith("/")}
            files = {file: path for file, path in files.items() if not file.startswith((".", "_"))}
            if not files:
                raise SourceFailed("expected a folder with files, received one without", is_temporary=False)
        for file, path in files.items():
            with ProgressBar(file, check) as progress:
                store.get_file(path, str(folder / file), callback=progress)
