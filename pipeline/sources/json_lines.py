"""JSON lines: an object in each line, as a whole or in batches."""

import io
import re
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json

from contracts.errors import UserError
from contracts.settings.source import Source
from pipeline.sources.conversion.types import common_type
from pipeline.sources.decompression import decompress, limited_memory, memory_of, opened, too_large

JSON = (".jsonl", ".ndjson", ".json")
NAME, SCANNED = re.compile(rb'"((?:[^"\\]|\\.)*)"\s*:'), 2**26  # bytes in which names are counted
NULL_FIRST, NULL_LATER = re.compile(rb"\s*null\b"), re.compile(rb"\n[^\S\n]*null\b")
ZONE = r"(:\d{2})(Z|[+-]\d{2}(:?\d{2})?)$"  # after a time, as PyArrow reads it in JSON
EMPTY_CELLS = 2**26  # cells of a table up to which they may outnumber the bytes of its file: they take some seconds
BLOCK, BLOCK_MEMORY = 2**24, 2**32  # bytes of lines parsed at a time in batches, of the longest line, of their table
_AT_ONCE = pyarrow.json.ReadOptions(block_size=2**31 - 1)  # so that an error has the number of its row


def is_list(content: bytes) -> bool:
    """Whether the content, or its beginning, is one list of objects, as pandas and many services write it."""
    return content[:1000].lstrip().startswith(b"[")


def is_lines(path: str) -> bool:
    """Whether a file has an object in each line."""
    with opened(path) as file:
        return not is_list(file.read(1000))


def as_lines(name: str, content: bytes) -> bytes:
    """JSON lines. A list of objects becomes one line for each object."""
    if not is_list(content):
        return content
    import orjson

    most = memory_of(len(content))
    try:
        with limited_memory(most):
            return b"\n".join(map(orjson.dumps, orjson.loads(content)))
    except MemoryError:
        raise too_large(name, most) from None
    except ValueError as error:
        raise UserError(
            f"{name} cannot be read: expected a list of JSON objects, received other text: {error}"
        ) from None


def check_lines(name: str, content: bytes) -> None:
    """Refuse a null in the place of an object, at which PyArrow would crash, and lines that give nearly every name
    once: a table of them has a column for each, mostly empty.
    """
    _check_null(name, content)
    names, lines = set(NAME.findall(content, 0, SCANNED)), content.count(b"\n")
    if len(names) * lines > max(EMPTY_CELLS, len(content)):
        raise _many_names(name, len(names), lines)


def _many_names(name: str, names: int, lines: int) -> UserError:
    return UserError(f"{name}: expected lines that have the same names, received {names:,} names in {lines:,} lines")


def _check_null(name: str, content: bytes) -> None:
    if NULL_FIRST.match(content) or NULL_LATER.search(content):
        raise UserError(f"{name}: expected a JSON object in every line, received null")


def read_lines(content: bytes, source: Source) -> pa.Table:
    """JSON lines as a table. Moments are by the clock of their own time zone, of which PyArrow's would be by UTC's; in
    categories they stay as they are written. Lists and structures of columns that the settings leave out are missing
    values.
    """
    table = pyarrow.json.read_json(io.BytesIO(content))
    schema = _schema(table, source)
    has_moments = any(pa.types.is_timestamp(field.type) for field in table.schema)
    return _read_as(content, schema, source) if has_moments or schema != table.schema else table


def first_schema(path: str) -> pa.Schema:
    """The columns of the first lines of a file, or of all where it is one list. Raises as `read_lines` does."""
    name = Path(path).name
    if is_lines(path):
        with opened(path) as file:
            content = file.read(BLOCK)
    else:
        content = as_lines(name, decompress(name, Path(path).read_bytes()))
    lines = content[: content.rfind(b"\n") + 1] or content
    check_lines(name, lines)
    with _errors_of(name, 0, lines):
        return pyarrow.json.read_json(io.BytesIO(lines), _AT_ONCE).schema


def find_schema(path: str, source: Source, most_rows: float, see: Callable[[int], None]) -> pa.Schema:
    """The columns of all lines of a file, with types that hold the values of all; as `read_lines` finds them.

    Args:
        most_rows: after which no more lines are read.
        see: is called with the number of rows so far.

    Raises:
        UserError: if a line is no object, or a column has values of several types.
    """
    name, known, n_rows, n_bytes = Path(path).name, dict[str, pa.DataType](), 0, 0
    for first, block in _blocks(path):
        if n_rows >= most_rows:
            break
        with _errors_of(name, first, block):
            table = pyarrow.json.read_json(io.BytesIO(block), _AT_ONCE)
            schema = _schema(table, source)  # a name may not be UTF-8
        for field in schema:
            before = known.get(field.name, field.type)
            known[field.name] = _both(before, field, name, first)
        n_rows, n_bytes = n_rows + len(table), n_bytes + len(block)
        see(n_rows)
        if len(known) * n_rows > max(EMPTY_CELLS, n_bytes):
            raise _many_names(name, len(known), n_rows)
    if not known:
        raise UserError(f"{name} has no rows")
    return pa.schema(list(known.items()))


def _both(before: pa.DataType, field: pa.Field, name: str, first: int) -> pa.DataType:
    """The type that holds the values of both. Text beside moments makes them text."""
    if pa.types.is_string(before) and pa.types.is_timestamp(field.type):
        return before
    if pa.types.is_timestamp(before) and pa.types.is_string(field.type):
        return field.type
    try:
        return common_type(before, field.type)
    except pa.ArrowException:
        raise UserError(
            f"{name}: expected values of one type in {field.name}, received {before}, and {field.type} after line "
            f"{first:,}"
        ) from None


def line_batches(path: str, schema: pa.Schema, source: Source) -> Generator[pa.Table]:
    """The lines of a file in batches of this schema, which `find_schema` finds."""
    for first, block in _blocks(path):
        with _errors_of(Path(path).name, first, block):
            table = _read_as(block, schema, source)
            table.validate(full=True)  # invalid UTF-8
        yield table


def _schema(table: pa.Table, source: Source) -> pa.Schema:
    """The schema of a table as PyArrow reads it, with text for moments in categories and for what is left out."""
    fields = []
    for field in table.schema:
        role = source.columns.get(field.name, "number")
        is_text = pa.types.is_timestamp(field.type) and role not in ("number", "drop")
        is_text |= pa.types.is_nested(field.type) and role == "drop"
        fields.append(field.with_type(pa.string()) if is_text else field)
    return pa.schema(fields)


def _read_as(content: bytes, schema: pa.Schema, source: Source) -> pa.Table:
    parsed = [
        field.with_type(pa.string()) if pa.types.is_timestamp(field.type) else field
        for field in schema
        if not pa.types.is_null(field.type)
        and not (source.columns.get(field.name) == "drop" and pa.types.is_string(field.type))  # perhaps a list
    ]
    options = pyarrow.json.ParseOptions(pa.schema(parsed))
    table, columns = pyarrow.json.read_json(io.BytesIO(content), _AT_ONCE, options), {}
    for field in schema:
        column = table[field.name] if field.name in table.column_names else pa.nulls(len(table), field.type)
        if pa.types.is_timestamp(field.type):
            column = pc.replace_substring_regex(column, ZONE, r"\1")
        if source.columns.get(field.name) == "drop" and pa.types.is_nested(column.type):
            column = pa.nulls(len(table), field.type)
        columns[field.name] = column.cast(field.type)
    return pa.table(columns)


def _blocks(path: str) -> Iterator[tuple[int, bytes]]:
    """The lines of a file in blocks of whole lines, each with the number of lines before it."""
    name, first, rest = Path(path).name, 0, b""
    with opened(path) as file:
        while content := file.read(BLOCK):
            whole, ends, last = (rest + content).rpartition(b"\n")
            if len(last) > BLOCK:
                raise UserError(f"{name}: expected lines of at most {BLOCK // 2**20} MiB, line {first + 1:,} is longer")
            if whole.strip():
                _check_null(name, whole)
                yield first, whole + ends
            first, rest = first + whole.count(b"\n") + len(ends), last
    if rest.strip():
        _check_null(name, rest)
        yield first, rest


@contextmanager
def _errors_of(name: str, first: int, block: bytes) -> Iterator[None]:
    """Name the line of an error in a block, which follows `first` lines; and bound the memory of its table."""
    try:
        with limited_memory(BLOCK_MEMORY):
            yield
    except (MemoryError, pa.ArrowMemoryError):
        raise too_large(name, BLOCK_MEMORY) from None
    except (pa.ArrowException, UnicodeError) as error:
        reason = (str(error).splitlines() or ["damaged"])[0]
        row = re.search(r" in row (\d+)", reason)
        if row is None:
            raise UserError(f"{name} cannot be read: {reason}, after line {first:,}") from None
        lines = [number for number, line in enumerate(block.split(b"\n"), first + 1) if line.strip()]
        where = f"line {lines[min(int(row[1]), len(lines) - 1)]:,}"
        raise UserError(f"{name} cannot be read: {reason.replace(row[0], '')} in {where}") from None
