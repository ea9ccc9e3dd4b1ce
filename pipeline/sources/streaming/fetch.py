"""Files as one raw table, without holding the table in memory: one pass finds types, another converts and writes."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from contracts.errors import UserError
from contracts.files import md5
from contracts.schema import TextForm
from contracts.settings.source import Source
from pipeline.resources import cores
from pipeline.sources.column_checks import check_columns
from pipeline.sources.conversion.types import without_markers
from pipeline.sources.conversion.values import MISSING, markers_of
from pipeline.sources.files import absolute, part_names, sources_of
from pipeline.sources.own_table import hash_of
from pipeline.sources.streaming.columns import Columns, find_columns
from pipeline.sources.streaming.evidence import Evidence
from pipeline.sources.streaming.parquet import common_schema, is_parquet, parquet_batches
from pipeline.sources.streaming.several_targets import SeveralTargets
from pipeline.sources.streaming.target import Target
from pipeline.sources.streaming.text import TextFile
from pipeline.tables import note_text_form, row_groups

Targets = Target | SeveralTargets


class Fetched(NamedTuple):
    """The number of written rows; sentences about the form of the data; and the hash of the files."""

    rows: int
    notes: list[str]
    md5: str | None


class Part(NamedTuple):
    """A file, and how its rows are read: text with types for some columns, or Parquet with columns of these names."""

    path: str
    is_test: bool
    text: TextFile | None
    schema: pa.Schema
    missing: tuple[str, ...]

    def batches(self, types: dict[str, pa.DataType], names: list[str] | None = None) -> Iterator[pa.Table]:
        if self.text is not None:
            return self.text.batches(self.missing, types)
        schema = self.schema if names is None else pa.schema([self.schema.field(name) for name in names])
        return (without_markers(table, self.missing) for table in parquet_batches(self.path, schema))


def fetch_stream(source: Source, path: Path, see: Callable[[pa.Table], None] | None = None) -> Fetched:
    """Write the rows of `source.source` as `read_source` reads them, batch by batch.

    Args:
        see: is called with all columns of each batch, under their own names.

    Raises:
        UserError: if the data cannot be read, or has no such target.
    """
    files = [(file, is_test) for name, is_test in sources_of(source) for file in part_names(absolute(name))]
    before = [state_of(file) for file, _ in files]
    missing = markers_of(source.missing)
    parts, schema, form = _open_parts(files, source, missing)
    several = len(source.targets) > 1 or source.separator is not None
    named = missing if form is not None else ()
    target = SeveralTargets(schema.names, source, named) if several else Target(schema.names, source)
    columns = _look(parts, schema, source, missing, target, of_text=form is not None)
    if form is not None:
        form = form.model_copy(update={"decimal": columns.decimal, "units": columns.units})
    elif source.missing:  # a row to predict may hold the same markers
        form = TextForm(missing=missing)
    with ThreadPoolExecutor(1) as thread:
        digests = thread.submit(lambda: [md5(Path(file)) for file, _ in files])  # while the rows are written
        read, written = _write(parts, schema, source, see, columns, target, form, path)
    if changed := [file for (file, _), state in zip(files, before, strict=True) if state_of(file) != state]:
        raise UserError(f"{changed[0]} changed while it was read: run again when it is complete")
    notes = [*columns.notes, *target.notes(read, written)]
    return Fetched(written, notes, hash_of(digests.result()))


def _open_parts(
    files: list[tuple[str, bool]], source: Source, missing: tuple[str, ...]
) -> tuple[list[Part], pa.Schema, TextForm | None]:
    """The files, with the columns of all; and the form of the first one, if they are text."""
    paths = [path for path, _ in files]
    if all(map(is_parquet, paths)):
        schema = common_schema(paths, source.dropped)
        as_text = {name for name, role in source.columns.items() if role not in ("number", "drop")}
        schema = pa.schema([f.with_type(pa.string()) if f.name in as_text else f for f in schema])
        parts = [Part(path, is_test, None, schema, source.missing or ()) for path, is_test in files]
        return parts, schema, None
    texts = [TextFile(path, source.encoding, source.delimiter) for path in paths]
    for path, text in zip(paths, texts, strict=True):
        if different := set(text.header) ^ set(texts[0].header):
            raise UserError(f"{path}: expected the columns of {paths[0]}, different are {', '.join(sorted(different))}")
    schema = pa.schema([pa.field(name, pa.string()) for name in texts[0].header])
    parts = [Part(path, is_test, text, schema, missing) for (path, is_test), text in zip(files, texts, strict=True)]
    first = texts[0].dialect
    form = TextForm(encoding=first.encoding, delimiter=first.delimiter, missing=missing)
    return parts, schema, form


def _look(
    parts: list[Part],
    schema: pa.Schema,
    source: Source,
    missing: tuple[str, ...],
    target: Targets,
    of_text: bool,
) -> Columns:
    """The first pass, over the columns whose type is open."""
    texts = [field.name for field in schema if pa.types.is_string(field.type)]
    numbers = {name: of_text or source.columns.get(name) == "number" for name in texts}
    evidence = {
        name: Evidence(missing if of_text else MISSING if numbers[name] else (), numbers[name]) for name in texts
    }
    with ThreadPoolExecutor(cores()) as threads:
        if not of_text:  # each column is read separately, until its type is known
            list(threads.map(lambda name: _look_at(parts, name, evidence[name]), texts))
            for table in _batches(parts, list(target.names)):
                if not target.look(table):
                    break
            return target.decide(schema, find_columns(evidence, source, of_text))
        for part in parts:
            for table in part.batches({}):
                found = [threads.submit(known.add, table[name].combine_chunks()) for name, known in evidence.items()]
                target.look(table)
                for result in found:
                    result.result()
    return target.decide(schema, find_columns(evidence, source, of_text))


def _look_at(parts: list[Part], name: str, evidence: Evidence) -> None:
    for table in _batches(parts, [name]):
        evidence.add(table[name].combine_chunks())
        if not evidence.is_open:
            return


def _batches(parts: list[Part], names: list[str]) -> Iterator[pa.Table]:
    return (table for part in parts for table in part.batches({}, names))


def _write(
    parts: list[Part],
    schema: pa.Schema,
    source: Source,
    see: Callable[[pa.Table], None] | None,
    columns: Columns,
    target: Targets,
    form: TextForm | None,
    path: Path,
) -> tuple[int, int]:
    """The second pass; returns how many rows were read and written."""
    read = written = 0
    out = target.schema(columns.convert(schema.empty_table()).schema)
    with row_groups(path, out if form is None else note_text_form(out.empty_table(), form).schema) as add:
        for part in parts:
            for batch in part.batches(columns.types()):
                table = columns.convert(batch.select(schema.names))
                check_columns(table, source, {}, first_row=read + 1)
                if see is not None:
                    see(table)
                read += len(table)
                table = target.apply(table, part.is_test)
                written += len(table)
                add(table)
    return read, written


def state_of(path: str) -> tuple[int, int]:
    """The size of a file and the time of its last change; UserError if there is none."""
    try:
        state = Path(path).stat()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from None
    return state.st_size, state.st_mtime_ns
