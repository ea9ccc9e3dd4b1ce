"""A table from a file that somebody brings: text, JSON lines or Parquet, compressed or not, near or far."""

import gzip
import hashlib
import io
import lzma
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.json
import pyarrow.parquet as pq

from contracts.errors import UserError, nearest
from contracts.files import md5
from contracts.settings.source import READERS, Source
from pipeline.paths import var
from pipeline.sources.delimited import read_delimited
from pipeline.sources.values import MISSING, Conversion, convert, is_number
from pipeline.tables import TARGET

MOST_BYTES = 4 * 2**30  # of a file after decompression
MOST_CLASSES = 20  # a target of whole numbers has classes where it has at most so many different ones
COMPRESSED = (".gz", ".bz2", ".xz", ".zst", ".zip")


def read_source(source: Source) -> tuple[pa.Table, list[str]]:
    """The rows of `source.source` with the target in `TARGET`, as text where it has classes.

    Returns:
        the table; and what was found in the file, in sentences.

    Raises:
        UserError: where the file cannot be read, with every problem of its form; where it has no such target.
    """
    parts = _part_names(_absolute(source))
    tables, notes = zip(*(_read(part, source) for part in parts), strict=True)
    columns = [set(table.column_names) for table in tables]
    for part, names in zip(parts, columns, strict=True):
        if names != columns[0]:
            raise UserError(
                f"{part}: expected the columns of {parts[0]}, different are {', '.join(sorted(names ^ columns[0]))}"
            )
    table = pa.concat_tables([part.select(tables[0].column_names) for part in tables], promote_options="permissive")
    return _with_target(table, source), list(dict.fromkeys(note for of_part in notes for note in of_part))


def columns_of_source(source: Source) -> list[str]:
    """The names of the columns of a file, in order; raises as `read_source` does."""
    return _read(_part_names(_absolute(source))[0], source)[0].column_names


def local_md5(source: Source) -> str | None:
    """The hash of a file on this machine, or of the files of a folder; None for what lies elsewhere or is not there."""
    path = Path(_absolute(source))
    if "://" in source.source or not path.exists():
        return None
    parts = _part_names(str(path))
    return md5(path) if parts == [str(path)] else hashlib.md5("".join(md5(Path(p)) for p in parts).encode()).hexdigest()


def _absolute(source: Source) -> str:
    """A path is relative to the project, also for a stage that runs in a copy of it."""
    return source.source if "://" in source.source else str(var().parent / source.source)


def _part_names(path: str) -> list[str]:
    if "://" in path or not Path(path).is_dir():
        return [path]
    parts = sorted(
        str(part) for part in Path(path).iterdir() if part.is_file() and not part.name.startswith((".", "_"))
    )
    if not parts:
        raise UserError(f"{path} is a folder without files: expected the parts of a table")
    return parts


def _read(path: str, source: Source) -> tuple[pa.Table, list[str]]:
    name = path.rsplit("/", 1)[-1]
    content = _decompress(name, _bytes(path))
    kind = Path(name.removesuffix(next((ending for ending in COMPRESSED if name.endswith(ending)), ""))).suffix.lower()
    if kind in (".parquet", ".pq"):
        return _flat(name, lambda: pq.read_table(io.BytesIO(content))), []
    if kind in (".jsonl", ".ndjson", ".json"):
        return _flat(name, lambda: pyarrow.json.read_json(io.BytesIO(content))), []
    texts, dialect = read_delimited(name, content, source.encoding, source.delimiter)
    categories = {column for column, role in source.columns.items() if role == "category"}
    table, found = convert(texts, source.missing or MISSING, source.decimal, as_text=categories)
    return _restore_classes(table, texts, source, found), _notes(dialect.delimiter, dialect.encoding, found)


def _bytes(path: str) -> bytes:
    """The bytes of a file or an object; a source that changes while it is read is refused."""
    import fsspec

    try:
        if "://" not in path:
            before = Path(path).stat()
            content = Path(path).read_bytes()
            after = Path(path).stat()
            if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
                raise UserError(f"{path} changed while it was read: run again when it is complete")
            return content
        with fsspec.open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        folder = Path(path).parent
        names = [entry.name for entry in folder.iterdir()] if "://" not in path and folder.is_dir() else []
        raise UserError(f"there is no file {path}{nearest(Path(path).name, [*names, *READERS])}") from None
    except IsADirectoryError:
        raise UserError(f"{path} is a folder: expected a file, or a folder of files") from None
    except PermissionError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from None
    except (ImportError, ValueError) as error:
        raise UserError(f"{path} cannot be read: {error}") from None
    except UserError:
        raise
    except Exception as error:  # each store raises its own
        raise UserError(f"{path} cannot be read: {type(error).__name__}: {error}") from None


def _decompress(name: str, content: bytes) -> bytes:
    try:
        if name.endswith(".gz"):
            return _at_most(name, gzip.GzipFile(fileobj=io.BytesIO(content)).read)
        if name.endswith(".xz"):
            return _at_most(name, lzma.LZMAFile(io.BytesIO(content)).read)
        if name.endswith((".zst", ".bz2")):
            kind = "zstd" if name.endswith(".zst") else "bz2"
            return _at_most(name, pa.CompressedInputStream(pa.py_buffer(content), kind).read)
        if name.endswith(".zip"):
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                members = [member for member in archive.namelist() if not member.endswith("/")]
                if len(members) != 1:
                    raise UserError(f"{name}: expected one file in the archive, received {len(members)}")
                with archive.open(members[0]) as member:
                    return _at_most(name, member.read)
    except (OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, pa.ArrowException) as error:
        raise UserError(f"{name} is not what its ending says, or is damaged: {error}") from None
    return content


def _at_most(name: str, read: Callable[[int], bytes]) -> bytes:
    content = read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise UserError(f"{name}: expected at most {MOST_BYTES // 2**30} GiB after decompression, received more")
    return content


def _flat(name: str, read: Callable[[], pa.Table]) -> pa.Table:
    try:
        table = read()
    except pa.ArrowException as error:
        raise UserError(f"{name} cannot be read: {str(error).splitlines()[0]}") from None
    nested = [field.name for field in table.schema if pa.types.is_nested(field.type)]
    if nested:
        raise UserError(f"{name}: expected one value in each cell, received lists or structures in {', '.join(nested)}")
    if not table.num_rows:
        raise UserError(f"{name} has no rows")
    columns = {field.name: _plain(table[field.name], field.type) for field in table.schema}
    return pa.table(columns)


def _plain(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    """Truth values, dictionaries and other text as text; decimals as numbers; dates as timestamps."""
    if pa.types.is_boolean(kind) or pa.types.is_dictionary(kind) or pa.types.is_large_string(kind):
        return column.cast(pa.string())
    if pa.types.is_decimal(kind):
        return column.cast(pa.float64())
    return column.cast(pa.timestamp("s"), safe=False) if pa.types.is_temporal(kind) else column


def _restore_classes(table: pa.Table, texts: pa.Table, source: Source, found: Conversion) -> pa.Table:
    """The target as it was written, where it has classes: 01 stays 01."""
    if source.target not in table.column_names or not _has_classes(table[source.target], source):
        return table
    from pyarrow import compute as pc

    column = pc.utf8_trim_whitespace(texts[source.target])
    written = pc.if_else(
        pc.is_in(column, value_set=pa.array(found.missing, pa.string())), pa.scalar(None, pa.string()), column
    )
    return table.set_column(table.column_names.index(source.target), source.target, written)


def _has_classes(column: pa.ChunkedArray, source: Source) -> bool:
    if source.task is not None:
        return source.task in ("binary", "multiclass")
    if not is_number(column.type):
        return True
    return pa.types.is_integer(column.type) and len(column.drop_null().unique()) <= MOST_CLASSES


def _with_target(table: pa.Table, source: Source) -> pa.Table:
    assert source.target is not None
    if source.target not in table.column_names:
        hint = nearest(source.target, table.column_names) or f"; there are {', '.join(table.column_names)}"
        raise UserError(f"data.target: expected a column of {source.source}, received {source.target!r}{hint}")
    column = table[source.target]
    if _has_classes(column, source):
        column = column.cast(pa.string())
    elif not is_number(column.type):
        raise UserError(
            f"target {source.target!r}: expected numbers for a regression, received {column.drop_null()[0]}"
        )
    table = table.drop_columns([source.target]).append_column(TARGET, column)
    return table.filter(column.is_valid())


def _notes(delimiter: str, encoding: str, found: Conversion) -> list[str]:
    names = {"\t": "tab", ",": "comma", ";": "semicolon", "|": "bar"}
    notes = [f"delimiter {names.get(delimiter, repr(delimiter))}, encoding {encoding}, decimal mark {found.decimal!r}"]
    if found.missing:
        notes.append("missing: " + ", ".join(repr(marker) if marker else "empty" for marker in found.missing))
    notes += [f"{column}: dates as {form}" for column, form in found.date_formats.items()]
    return notes
