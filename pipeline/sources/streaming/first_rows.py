"""The first rows of files that do not fit into memory, as the parts of a table."""

from contracts.settings.source import Source
from pipeline.sources.files import Part, absolute, part_names, sources_of
from pipeline.sources.streaming.parquet import common_schema, is_parquet, parquet_batches
from pipeline.sources.streaming.text import TextFile


def first_parts(source: Source) -> list[Part]:
    """The first batch of rows of the source, and of its test rows; for a folder, that of its first file.

    Raises:
        UserError: if the file cannot be read, or has no rows.
    """
    return [_first(part_names(absolute(name))[0], source, is_test) for name, is_test in sources_of(source)]


def _first(path: str, source: Source, is_test: bool) -> Part:
    if is_parquet(path):
        return Part(path, next(parquet_batches(path, common_schema([path], source.dropped))), None, "", is_test)
    file = TextFile(path, source.encoding, source.delimiter)
    return Part(path, next(file.batches(missing=())), file.dialect, "", is_test)
