"""The memory that the files of a source take in fetch as a whole: an estimate from measurements."""

import os
from collections.abc import Set
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from contracts.errors import UserError
from contracts.settings.source import Source
from pipeline.resources import Choice, Memory, choose
from pipeline.sources.conversion.types import plain_schema
from pipeline.sources.decompression import ENDINGS, kind_of
from pipeline.sources.files import PARQUET, absolute, part_names, sources_of
from pipeline.sources.json_lines import JSON, is_lines
from pipeline.sources.streaming.parquet import is_parquet

OF_TEXT_BYTE, COMPRESSED = 14, 5  # bytes for each byte of a text, and bytes of text for a compressed one
OF_NUMBER, OF_TEXT = 30, 120  # bytes a value of a Parquet file


def choose_for(source: Source, memory: Memory) -> Choice:
    """Whether the rows of a source are streamed, and why: those in files of this machine, as delimited text or Parquet.

    Args:
        memory: the value of `fetch.memory`.
    """
    files = [] if source.image is not None or not source.is_file else _files(source)
    if not files or not (all(map(is_parquet, files)) or not any(map(_has_types, files))):
        return Choice(streams=False, limit=0, reason="no files that are read in batches", is_clear=True)
    return choose(memory, needs_as_whole(source), "fetch.memory")


def is_json_lines(source: Source) -> bool:
    """Whether all rows are in files with an object of JSON in each line."""
    files = _files(source)
    return bool(files) and all(kind_of(file.name) in JSON and is_lines(str(file)) for file in files)


def needs_as_whole(source: Source) -> int:
    """Bytes that the rows take in memory; 0 if they are unknown, because a file is missing or damaged."""
    total = 0
    for file in _files(source):
        if is_parquet(file):
            total += _of_parquet(file, source.dropped)
        else:
            total += file.stat().st_size * OF_TEXT_BYTE * (COMPRESSED if file.suffix in ENDINGS else 1)
    return total


def _files(source: Source) -> list[Path]:
    paths = [absolute(name) for name, _ in sources_of(source)]
    if not all(map(os.path.exists, paths)):
        return []
    return [Path(part) for path in paths for part in part_names(path)]


def _of_parquet(file: Path, dropped: Set[str]) -> int:
    try:
        schema, rows = plain_schema(file.name, pq.read_schema(file), dropped), pq.read_metadata(file).num_rows
    except (pa.ArrowException, OSError, UserError):  # the reader of the file gives the error
        return 0
    return rows * sum(OF_TEXT if pa.types.is_string(field.type) else OF_NUMBER for field in schema)


def _has_types(file: Path) -> bool:
    return kind_of(file.name) in (*PARQUET, *JSON)
