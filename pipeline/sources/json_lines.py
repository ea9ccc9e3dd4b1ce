"""JSON lines: an object in each line, as a whole or in batches."""

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json

from contracts.errors import UserError
from contracts.settings.source import Source
from pipeline.sources.decompression import limited_memory, memory_of, opened, too_large

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
        raise UserError(
            f"{name}: expected lines that have the same names, received {len(names):,} names in {lines:,} lines"
        )


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


def find_schema(path: str, source: Source, most_rows: float) -> pa.Schema:
    """The columns of all lines of a file, with types that hold the values of all; as `read_lines` finds them.

    Args:
        most_rows: after which no more lines are read.

    Raises:
        UserError: if a line is no object, or a column has values of several types.
    """
    name, known = Path(path).name, dict[str, pa.DataType]()
    for first, block in _blocks(path):
        if first >= most_rows:
            break
        with _errors_of(name, first):
            schema = _schema(pyarrow.json.read_json(io.BytesIO(block), _AT_ONCE), source)
        for field in schema:
            before = known.get(field.name, field.type)
            if {pa.types.is_timestamp(before), pa.types.is_timestamp(field.type)} == {True, False} and (
                pa.types.is_string(before) or pa.types.is_string(field.type)
            ):
                known[field.name] = pa.string()
                continue
            try:
                both = [pa.schema([("", kind)]) for kind in (before, field.type)]
                known[field.name] = pa.unify_schemas(both, promote_options="permissive").field(0).type
            except pa.ArrowException:
                raise UserError(
                    f"{name}: expected values of one type in {field.name}, received {before}, and {field.type} after "
                    f"line {first:,}"
                ) from None
    if not known:
        raise UserError(f"{name} has no rows")
    return pa.schema(list(known.items()))


def line_batches(path: str, schema: pa.Schema, source: Source) -> Iterator[pa.Table]:
    """The lines of a file in batches of this schema, which `find_schema` finds."""
    for first, block in _blocks(path):
        with _errors_of(Path(path).name, first):
            table = _read_as(block, schema, source)
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
            if not first and not rest and is_list(content):
                raise UserError(
                    f"{name} is one list, and larger than fetch.memory: expected JSON lines, an object in each line, "
                    f"as `jq -c '.[]'` writes them"
                )
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
def _errors_of(name: str, first: int) -> Iterator[None]:
    """Name the line of an error in a block, which follows `first` lines; and bound the memory of its table."""
    try:
        with limited_memory(BLOCK_MEMORY):
            yield
    except (MemoryError, pa.ArrowMemoryError):
        raise too_large(name, BLOCK_MEMORY) from None
    except pa.ArrowException as error:
        reason = (str(error).splitlines() or ["damaged"])[0]
        row = re.search(r" in row (\d+)", reason)
        where = f" in line {first + 1 + int(row[1]):,}" if row else f" after line {first:,}"
        raise UserError(f"{name} cannot be read: {reason.replace(row[0], '') if row else reason}{where}") from None
