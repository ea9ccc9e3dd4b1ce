"""A table from a user's file: text, JSON lines or Parquet, compressed or not, on this machine or at an address."""

import hashlib
import io
import os
import re
import stat
import time
from collections.abc import Callable, Set
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json
import pyarrow.parquet as pq

from contracts.errors import UserError, nearest
from contracts.settings.source import READERS, Source
from pipeline.paths import var
from pipeline.sources.conversion.types import check_schema, plain
from pipeline.sources.decompression import ENDINGS, decompress, limited_memory
from pipeline.sources.delimited import Dialect, read_delimited
from pipeline.sources.download import open_store

JSON_NAME, JSON_SCANNED = re.compile(rb'"((?:[^"\\]|\\.)*)"\s*:'), 2**26  # bytes in which names are counted
NULL_LINE = re.compile(rb"^[^\S\n]*null\b", re.MULTILINE)
ZONE = r"(:\d{2})(Z|[+-]\d{2}(:?\d{2})?)$"  # after a time, as PyArrow reads it in JSON
EMPTY_CELLS = 2**26  # cells of a table up to which they may outnumber the bytes of its file: they take some seconds
TIMEOUT = 30  # seconds without a byte of an object store, after which it is asked again
FOLDERS_NAMED = 5  # folders named in a message
WAITS = (1, 2, 4)  # seconds between the attempts to read from an object store
MEMORY, MEMORY_RATIO = 8 * 2**30, 20  # bytes of memory for the rows of a file, or for each byte of the file


class Part(NamedTuple):
    """A file of a table; text has the dialect in which it is written."""

    path: str
    table: pa.Table
    dialect: Dialect | None
    md5: str
    is_test: bool


def sources_of(source: Source) -> list[tuple[str, bool]]:
    """The names of the source and of its test rows, and whether they are test rows."""
    return [(source.source, False), *([(source.test_source, True)] if source.test_source else [])]


def read_parts(source: Source) -> list[Part]:
    """Every file of the source and of its test rows."""
    return [_read(path, source, is_test) for name, is_test in sources_of(source) for path in part_names(absolute(name))]


def absolute(name: str) -> str:
    """A path is relative to the project, also for a stage that runs in a copy of it; ~ is the user's folder."""
    return name if "://" in name else str(var().parent / os.path.expanduser(name))


def part_names(path: str) -> list[str]:
    """The files of a folder, in the order of their names; a file or an address alone."""
    if "://" in path or not os.path.isdir(path):
        return [path]
    parts = sorted(
        str(part) for part in Path(path).iterdir() if part.is_file() and not part.name.startswith((".", "_"))
    )
    if not parts:
        inner = ", ".join(sorted(entry.name for entry in Path(path).iterdir() if entry.is_dir())[:FOLDERS_NAMED])
        raise UserError(
            f"{path} is a folder without files: expected the parts of a table"
            + (f", received the folders {inner}: name one of them, or put the files together" if inner else "")
        )
    return parts


def _read(path: str, source: Source, is_test: bool) -> Part:
    name = (path.partition("?")[0] if "://" in path else path).rstrip("/").rsplit("/", 1)[-1]
    received = _bytes(path)
    digest = hashlib.md5(received, usedforsecurity=False).hexdigest()
    content = decompress(name, received)
    kind = Path(name.removesuffix(next((ending for ending in ENDINGS if name.endswith(ending)), ""))).suffix.lower()
    if kind in (".parquet", ".pq"):
        return Part(path, flat(name, lambda: pq.read_table(io.BytesIO(content)), len(content)), None, digest, is_test)
    if kind in (".jsonl", ".ndjson", ".json"):
        content = _lines(name, content)
        if NULL_LINE.search(content):  # PyArrow would crash
            raise UserError(f"{name}: expected a JSON object in every line, received null")
        _check_names(name, content)
        categories = {column for column, role in source.columns.items() if role not in ("number", "drop")}
        dropped = {column for column, role in source.columns.items() if role == "drop"}
        table = flat(name, lambda: _without_nested(_read_json(content, categories), dropped), len(content))
        return Part(path, table, None, digest, is_test)
    return Part(path, *read_delimited(name, content, source.encoding, source.delimiter), digest, is_test)


def _read_json(content: bytes, categories: Set[str]) -> pa.Table:
    """JSON lines as a table. Moments are by the clock of their own time zone, of which PyArrow's would be by UTC's; in
    `categories` they stay as they are written.
    """
    table = pyarrow.json.read_json(io.BytesIO(content))
    moments = {field.name: field.type for field in table.schema if pa.types.is_timestamp(field.type)}
    if not moments:
        return table
    as_text = pyarrow.json.ParseOptions(pa.schema([(name, pa.string()) for name in moments]))
    texts = pyarrow.json.read_json(io.BytesIO(content), parse_options=as_text)
    for name, kind in moments.items():
        column = texts[name]
        if name not in categories:
            column = pc.replace_substring_regex(column, ZONE, r"\1").cast(kind)
        table = table.set_column(table.column_names.index(name), name, column)
    return table


def _without_nested(table: pa.Table, dropped: Set[str]) -> pa.Table:
    """Lists and structures of columns that the settings leave out are missing values."""
    for position, field in enumerate(table.schema):
        if field.name in dropped and pa.types.is_nested(field.type):
            table = table.set_column(position, field.name, pa.nulls(len(table), pa.string()))
    return table


def _lines(name: str, content: bytes) -> bytes:
    """JSON lines. A list of objects, as pandas and many services write it, becomes one line for each object."""
    if not content[:1000].lstrip().startswith(b"["):
        return content
    import orjson

    most = max(MEMORY, MEMORY_RATIO * len(content))
    try:
        with limited_memory(most):
            return b"\n".join(map(orjson.dumps, orjson.loads(content)))
    except MemoryError:
        raise _too_large(name, most) from None
    except ValueError as error:
        raise UserError(
            f"{name} cannot be read: expected a list of JSON objects, received other text: {error}"
        ) from None


def _check_names(name: str, content: bytes) -> None:
    """Refuse JSON lines that give nearly every name once: a table of them has a column for each, mostly empty."""
    names, lines = set(JSON_NAME.findall(content, 0, JSON_SCANNED)), content.count(b"\n")
    if len(names) * lines > max(EMPTY_CELLS, len(content)):
        raise UserError(
            f"{name}: expected lines that have the same names, received {len(names):,} names in {lines:,} lines"
        )


def _received(path: str) -> bytes:
    """The bytes at an address. An object store that fails or is busy is asked again, after growing waits."""
    import fsspec

    if not path.startswith("s3://"):
        with fsspec.open(path, "rb") as file:
            return file.read()
    store, name = open_store(path, TIMEOUT)
    for wait in WAITS:
        try:
            return store.cat_file(name)
        except (FileNotFoundError, PermissionError):
            raise
        except Exception as error:  # each store raises its own
            if "credential" in str(error).lower():
                raise
            time.sleep(wait)
    return store.cat_file(name)


def _bytes(path: str) -> bytes:
    """The bytes of a file or an object; a source that changes while it is read is refused."""
    try:
        if "://" not in path:
            before = Path(path).stat()
            if not stat.S_ISREG(before.st_mode) and not stat.S_ISDIR(before.st_mode):
                raise UserError(f"{path} is a pipe or a device: expected a file, or a folder of files")
            content = Path(path).read_bytes()
            after = Path(path).stat()
            if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
                raise UserError(f"{path} changed while it was read: run again when it is complete")
            return content
        return _received(path)
    except FileNotFoundError:
        if path.startswith("http"):  # so says fsspec of everything that goes wrong
            raise UserError(f"{path} cannot be read: there is no such file, or its host does not answer") from None
        folder = Path(path).parent
        names = [entry.name for entry in folder.iterdir()] if "://" not in path and folder.is_dir() else []
        readers = () if Path(path).suffix else READERS
        hint = nearest(Path(path).name, [*names, *readers])
        if re.search(r"\b(select|with)\b.*\bfrom\b", path, re.IGNORECASE | re.DOTALL):
            hint = "; a query needs DATABASE=variable (data.database), the variable with the address of the database"
        raise UserError(f"there is no file {path}{hint}") from None
    except IsADirectoryError:
        raise UserError(f"{path} is a folder: expected a file, or a folder of files") from None
    except PermissionError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from None
    except (ImportError, ValueError) as error:
        raise UserError(f"{path} cannot be read: {error}") from None
    except UserError:
        raise
    except Exception as error:  # each store raises its own
        if "credential" in str(error).lower():
            raise UserError(f"{path} cannot be read without the store's credentials: {error}") from None
        raise UserError(f"{path} cannot be read: {type(error).__name__}: {error}") from None


def flat(name: str, read: Callable[[], pa.Table], n_bytes: int = 0) -> pa.Table:
    """A table with any types as a table of text, numbers and timestamps, with one value in each cell.

    Args:
        n_bytes: those of the file, because a few bytes may stand for any number of rows or for long texts.
    """
    most = max(MEMORY, MEMORY_RATIO * n_bytes)
    try:
        with limited_memory(most):
            table = read()
            table.validate(full=True)
            if not table.num_rows:
                raise UserError(f"{name} has no rows")
            check_schema(name, table.schema)
            return plain(table)
    except (MemoryError, pa.ArrowMemoryError):
        raise _too_large(name, most) from None
    except (pa.ArrowException, OSError, UnicodeError) as error:  # a damaged file gives any of them
        raise UserError(f"{name} cannot be read: {(str(error).splitlines() or ['damaged'])[0]}") from None


def _too_large(name: str, most: int) -> UserError:
    expected = f"rows that take at most {most / 2**30:.1f} GiB of memory"
    return UserError(f"{name} cannot be read: expected {expected}, received more")
