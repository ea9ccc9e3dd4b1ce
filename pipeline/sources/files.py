"""A table from a user's file: text, JSON lines or Parquet, compressed or not."""

import hashlib
import io
import os
import re
import stat
from collections.abc import Callable, Set
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from contracts.errors import UserError, nearest
from contracts.settings.source import READERS, Source
from pipeline.paths import var
from pipeline.sources.conversion.types import check_schema, nested_columns, plain
from pipeline.sources.decompression import decompress, kind_of, limited_memory, memory_of, too_large
from pipeline.sources.delimited import Dialect, read_delimited
from pipeline.sources.json_lines import JSON, as_lines, check_lines, first_schema, read_lines

PARQUET = (".parquet", ".pq")
FOLDERS_NAMED = 5  # folders named in a message


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
    """The files of a folder, in the order of their names; a file alone."""
    if not os.path.isdir(path):
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


def nested_names(source: Source) -> list[str]:
    """The columns of lists, structures or bytes in the first file; none if it cannot be read, which its reader says."""
    path = part_names(absolute(source.source))[0]
    if not os.path.isfile(path):
        return []
    try:
        if kind_of(path) in JSON:
            return nested_columns(first_schema(path))
        return nested_columns(pq.read_schema(path)) if Path(path).suffix.lower() in PARQUET else []
    except (UserError, pa.ArrowException, OSError, UnicodeError):
        return []


def _read(path: str, source: Source, is_test: bool) -> Part:
    name = Path(path).name
    received = _bytes(path)
    digest = hashlib.md5(received, usedforsecurity=False).hexdigest()
    content = decompress(name, received)
    kind = kind_of(name)
    if kind in PARQUET:
        table = flat(name, lambda: pq.read_table(io.BytesIO(content)), source.dropped, len(content))
        return Part(path, table, None, digest, is_test)
    if kind in JSON:
        content = as_lines(name, content)
        check_lines(name, content)
        table = flat(name, lambda: read_lines(content, source), source.dropped, len(content))
        return Part(path, table, None, digest, is_test)
    return Part(path, *read_delimited(name, content, source.encoding, source.delimiter), digest, is_test)


def _bytes(path: str) -> bytes:
    """The bytes of a file; one that changes while it is read is refused."""
    try:
        before = Path(path).stat()
        if not stat.S_ISREG(before.st_mode) and not stat.S_ISDIR(before.st_mode):
            raise UserError(f"{path} is a pipe or a device: expected a file, or a folder of files")
        content = Path(path).read_bytes()
        after = Path(path).stat()
    except FileNotFoundError:
        folder = Path(path).parent
        names = [entry.name for entry in folder.iterdir()] if folder.is_dir() else []
        readers = () if Path(path).suffix else READERS
        hint = nearest(Path(path).name, [*names, *readers])
        if re.search(r"\b(select|with)\b.*\bfrom\b", path, re.IGNORECASE | re.DOTALL):
            hint = "; a query needs DATABASE=variable (data.database), the variable with the address of the database"
        raise UserError(f"there is no file {path}{hint}") from None
    except IsADirectoryError:
        raise UserError(f"{path} is a folder: expected a file, or a folder of files") from None
    except (OSError, ValueError) as error:  # a name with a NUL is a ValueError
        raise UserError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise UserError(f"{path} changed while it was read: run again when it is complete")
    return content


def flat(name: str, read: Callable[[], pa.Table], dropped: Set[str] = frozenset(), n_bytes: int = 0) -> pa.Table:
    """A table with any types as a table of text, numbers and timestamps, with one value in each cell.

    Args:
        dropped: columns that are left out, and may hold anything.
        n_bytes: those of the file, because a few bytes may stand for any number of rows or for long texts.
    """
    most = memory_of(n_bytes)
    try:
        with limited_memory(most):
            table = read()
            table.validate(full=True)
            if not table.num_rows:
                raise UserError(f"{name} has no rows")
            check_schema(name, table.schema, dropped)
            return plain(table)
    except (MemoryError, pa.ArrowMemoryError):
        raise too_large(name, most) from None
    except (pa.ArrowException, OSError, UnicodeError) as error:  # a damaged file gives any of them
        raise UserError(f"{name} cannot be read: {(str(error).splitlines() or ['damaged'])[0]}") from None
