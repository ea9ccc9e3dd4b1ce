"""Delimited text as batches of columns of text, from files of any size."""

import codecs
import csv
import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv

from contracts.errors import UserError
from contracts.files import LONGEST_FIELD
from pipeline.sources.decompression import opened
from pipeline.sources.delimited import (
    BOMS,
    Dialect,
    beginning,
    check_header,
    find_delimiter,
    guess_encoding,
    names_of,
    no_text,
    read_records,
)

SAMPLE = 2**20  # bytes that decide on delimiter and encoding
BLOCK = 2**24  # bytes of text that are parsed at a time


class TextFile:
    """A file of delimited text. `header` has the names of its columns, `written` as they stand in the file.

    Raises:
        UserError: if it is empty, not text, or has an invalid header.
    """

    def __init__(self, path: str, encoding: str | None = None, delimiter: str | None = None) -> None:
        self.path, self.name = path, Path(path).name
        csv.field_size_limit(LONGEST_FIELD)
        with opened(self.path) as file:
            sample = _read(file, SAMPLE)
        encoding = encoding or _encoding(self.name, sample)
        try:
            text = codecs.getincrementaldecoder(encoding)().decode(sample)
        except (UnicodeDecodeError, LookupError) as error:
            raise UserError(f"{self.name} is not {encoding}: {error}") from None
        if not text.strip():
            raise UserError(f"{self.name} is empty: expected a header line with the names of the columns, and rows")
        whole_lines = text if len(sample) < SAMPLE else text[: max(text.rfind("\n"), text.rfind("\r")) + 1]
        self.dialect = Dialect(encoding, delimiter or find_delimiter(whole_lines))
        try:
            self.written = next(
                csv.reader(io.StringIO(text, newline=""), delimiter=self.dialect.delimiter, strict=True)
            )
        except csv.Error as error:
            raise UserError(f"{self.name}: line 1: {error}; is a quotation mark not closed?") from None
        self.header = names_of(self.written)
        check_header(self.name, self.header)

    def batches(self, missing: tuple[str, ...], types: Mapping[str, pa.DataType] | None = None) -> Iterator[pa.Table]:
        """The rows in batches; a column is text unless `types` names another type.

        Args:
            missing: texts that stand for a missing value.

        Raises:
            UserError: with the first malformed lines.
        """
        kinds = {old: (types or {}).get(name, pa.string()) for old, name in zip(self.written, self.header, strict=True)}
        encoding = "utf8" if self.dialect.encoding in ("utf-8", "utf-8-sig") else self.dialect.encoding
        n_rows = 0
        try:
            with opened(self.path) as file:
                counted = _Text(file, self.dialect.delimiter)
                reader = pyarrow.csv.open_csv(
                    pa.PythonFile(counted, "r"),
                    pyarrow.csv.ReadOptions(block_size=BLOCK, encoding=encoding),
                    pyarrow.csv.ParseOptions(delimiter=self.dialect.delimiter, newlines_in_values=True),
                    pyarrow.csv.ConvertOptions(column_types=kinds, null_values=list(missing), strings_can_be_null=True),
                )
                for batch in reader:
                    n_rows += batch.num_rows
                    if batch.num_rows:
                        yield pa.Table.from_batches([batch]).rename_columns(self.header)
        except pa.ArrowInvalid as error:
            self._explain(str(error))
        except UnicodeDecodeError as error:
            self._explain(str(error))
        if counted.n % 2:  # PyArrow closes a quotation mark that is open at the end of a file
            self._check_lines()
        if not n_rows:
            raise UserError(f"{self.name} has a header and no rows")

    def _explain(self, reason: str) -> None:
        self._check_lines()
        raise UserError(f"{self.name}: {reason.splitlines()[0]}")

    def _check_lines(self) -> None:
        """Raise an error that names the malformed lines, which needs a second reading."""
        with opened(self.path) as file:
            try:
                text = io.TextIOWrapper(file, encoding=self.dialect.encoding, newline="")
                read_records(self.name, text, self.dialect.delimiter, lambda row: None)
            except UnicodeDecodeError:
                self._name_line_of_other_encoding()

    def _name_line_of_other_encoding(self) -> None:
        with opened(self.path) as file:
            for number, line in enumerate(io.TextIOWrapper(file, encoding="latin-1", newline="\n"), 1):
                try:
                    line.encode("latin-1").decode(self.dialect.encoding)
                except UnicodeDecodeError:
                    raise UserError(
                        f"{self.name}: line {number} is not {self.dialect.encoding}, as the lines before it are: "
                        "set data.encoding"
                    ) from None


class _Text(io.RawIOBase):
    """A stream that is read once, without rows that have no value at its end, and the number of its quotation marks."""

    def __init__(self, file: Any, delimiter: str) -> None:
        self.file, self.n = file, 0
        self.blank, self.text, self.end = f"{delimiter} \t\r\n".encode(), b"", b""

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        content = b" "
        while len(self.text) < size and content:  # PyArrow needs whole blocks
            content = self.file.read(size)
            new = self.end + content
            text = new.rstrip(self.blank) if content else b"".join(new.splitlines(keepends=True)[:1])
            self.text, self.end = self.text + text, new[len(text) :] if content else b""
        read, self.text = self.text[:size], self.text[size:]
        self.n += read.count(b'"')
        return read


def _read(file: Any, size: int) -> bytes:
    """The first bytes of a stream, which may return fewer bytes at a time than were asked for."""
    content = b""
    while len(content) < size and (more := file.read(size - len(content))):
        content += more
    return content


def _encoding(name: str, sample: bytes) -> str:
    """As `read_delimited` finds it, in the first bytes of a file."""
    encoding = next((known for bom, known in BOMS.items() if sample.startswith(bom)), "utf-8")
    if b"\0" in sample[:10_000] and encoding != "utf-16":
        raise no_text(name, sample)
    try:
        codecs.getincrementaldecoder(encoding)().decode(sample)
    except UnicodeDecodeError as error:
        return guess_encoding(name, beginning(sample, error.start))
    return encoding
