"""Text files of rows, as people export them: encoding, delimiter and header found, every malformed line named."""

import codecs
import csv
import io
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from typing import TextIO

import pyarrow as pa

from contracts.errors import UserError
from contracts.files import LONGEST_FIELD
from contracts.schema import TextForm

DELIMITERS = (",", ";", "\t", "|")
SAMPLE_ROWS = 200  # rows that decide on the delimiter
SHOWN = 5  # problems of one kind in a message
GUESSED = 500_000  # bytes by which an encoding is guessed
# What Western text in Windows' encoding (cp1252) hardly has: three signs in a row that are none of ASCII, letters of
# other languages, quotation marks inside a word.
NOT_WESTERN = re.compile(rb"[\x80-\xff]{3}|[\x81-\x84\x86-\x90\x98\x9a-\x9f]|[A-Za-z][\x91\x93-\x95\x99][A-Za-z]")
# What few words are taken for, and what they are with Windows' capitals rather than Macintosh's.
WINDOWS = {"mac_cyrillic": "cp1251", "mac_greek": "cp1253"}
OF_WINDOWS, OF_MACINTOSH = re.compile(rb"[\xc0-\xde]"), re.compile(rb"[\x80-\x9f]")
BOMS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


@dataclass(frozen=True)
class Dialect:
    """The delimiter, the encoding and the form of a file."""

    encoding: str
    delimiter: str


def read_delimited(
    name: str, content: bytes, encoding: str | None = None, delimiter: str | None = None
) -> tuple[pa.Table, Dialect]:
    """All rows as columns of text, and the dialect of the file.

    Args:
        name: that of the file, for messages.
        encoding, delimiter: detected if they are None.

    Raises:
        UserError: with every malformed line and header of the file.
    """
    csv.field_size_limit(LONGEST_FIELD)
    text, encoding = _decode(name, content, encoding)
    if not text.strip():
        raise UserError(f"{name} is empty: expected a header line with the names of the columns, and rows")
    if text.lstrip()[:14].lower().startswith(("<!doctype html", "<html")):
        raise UserError(f"{name} is a web page: expected rows of text, so give the address of the file itself")
    delimiter = delimiter or find_delimiter(text)
    rows: list[list[str]] = []
    header = read_records(name, io.StringIO(text, newline=""), delimiter, rows.append)
    columns = [pa.array(values, pa.string()) for values in zip(*rows, strict=True)]
    return pa.table(columns, names=header), Dialect(encoding, delimiter)


def find_delimiter(text: str) -> str:
    """The delimiter with which most rows of the sample have the same number of fields, and more than one."""

    def score(delimiter: str) -> tuple[float, int]:
        try:
            widths = [
                len(row)
                for row in islice(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter), SAMPLE_ROWS)
                if row
            ]
        except csv.Error:
            return 0.0, 0
        width, count = Counter(widths).most_common(1)[0] if widths else (0, 0)
        return (count / len(widths) if width > 1 else 0.0), width

    return max(DELIMITERS, key=score)


def _decode(name: str, content: bytes, encoding: str | None) -> tuple[str, str]:
    if encoding is None:
        encoding = next((known for bom, known in BOMS.items() if content.startswith(bom)), "utf-8")
        if b"\0" in content[:10_000] and encoding != "utf-16":
            raise no_text(name, content)
    try:
        return content.decode(encoding), encoding
    except (UnicodeDecodeError, LookupError) as error:
        if encoding != "utf-8" or not isinstance(error, UnicodeDecodeError):
            raise UserError(f"{name} is not {encoding}: {error}") from None
        first = error.start
    _refuse_mixture(name, content)
    encoding = guess_encoding(name, beginning(content, first))
    try:
        return content.decode(encoding), encoding
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UserError(f"{name}: line {line} is not {encoding}, as the rest seems to be: set data.encoding") from None


def beginning(content: bytes, first: int) -> bytes:
    """Lines that tell the encoding of a text that is not UTF-8: those from the first byte on that is not."""
    return content[(start := content.rfind(b"\n", 0, first) + 1) : start + GUESSED]


def no_text(name: str, content: bytes) -> UserError:
    """An error for bytes that are not text; it says what to do if the ending tells the format."""
    if name.lower().endswith((".xlsx", ".xls", ".xlsm", ".ods")):
        return UserError(f"{name} is a spreadsheet: expected a table; save its sheet as CSV, and give that file")
    if name.lower().endswith((".sqlite", ".sqlite3", ".db")):
        return UserError(
            f"{name} is a database: expected a table; export VISITS_DB=sqlite:////folder/{name}, and give "
            "DATABASE=VISITS_DB with a query as SOURCE"
        )
    return UserError(
        f"{name} is not a text file: expected rows of text separated by commas, semicolons or tabs, or JSON lines "
        "(.jsonl), JSON (.json) or Parquet (.parquet), received a NUL character in line "
        f"{content[: content.index(0)].count(10) + 1}; write other formats as one of these"
    )


def guess_encoding(name: str, content: bytes) -> str:
    """An encoding that fits a text that is not UTF-8.

    Of several that fit, Windows' one for Western Europe and America is the most frequent. A library that judges by the
    words of a language finds Korean in a few signs such as € and °.
    """
    if not NOT_WESTERN.search(content):
        return "cp1252"
    from charset_normalizer import from_bytes

    matches = from_bytes(content)
    best = matches.best()
    if best is None:
        raise UserError(f"{name} is not UTF-8 and no other encoding fits: set data.encoding")
    if len(OF_WINDOWS.findall(content)) > len(OF_MACINTOSH.findall(content)) and best.encoding in WINDOWS:
        return WINDOWS[best.encoding]
    fitting = {other for match in matches for other in match.could_be_from_charset}
    return "cp1252" if "cp1252" in fitting else best.encoding


def _refuse_mixture(name: str, content: bytes) -> None:
    """Refuse two concatenated files with different encodings, which would be read with wrong letters."""
    lines: dict[bool, list[str]] = {True: [], False: []}
    for number, line in enumerate(content.split(b"\n"), 1):
        if not line.isascii():
            try:
                line.decode("utf-8")
                lines[True].append(str(number))
            except UnicodeDecodeError:
                lines[False].append(str(number))
    if lines[True]:
        utf8, other = (", ".join(found[:SHOWN]) + (", …" if len(found) > SHOWN else "") for found in lines.values())
        raise UserError(f"{name}: expected one encoding, received UTF-8 in line {utf8} and another one in line {other}")


def read_records(name: str, text: TextIO, delimiter: str, keep: Callable[[list[str]], object]) -> list[str]:
    """Read every row of a text, and return its header.

    Args:
        keep: is called with each row up to the last one with a value.

    Raises:
        UserError: with the first malformed lines, or the problem of the header.
    """
    reader = csv.reader(text, delimiter=delimiter, strict=True)
    ragged: list[str] = []
    widths: set[int] = set()
    n_rows = n_ragged = 0
    begins = 1
    waiting: list[tuple[int, list[str]]] = []  # rows without a value, which spreadsheets write at the end, are no rows
    try:
        header = names_of(next(reader))
        begins = reader.line_num + 1
        for row in reader:
            begins, line = reader.line_num + 1, begins
            if row:
                waiting.append((line, row))
            if not "".join(row).strip():
                continue
            for line, row in waiting:
                if len(row) != len(header):
                    n_ragged += 1
                    ragged += [f"line {line}: {len(row)} fields"] if n_ragged <= SHOWN else []
                n_rows += 1
                widths.add(len(row))
                keep(row)
            waiting.clear()
    except csv.Error as error:
        raise UserError(f"{name}: line {begins}: {error}; is a quotation mark not closed?") from None
    if n_ragged and n_ragged == n_rows and len(widths) == 1:
        raise UserError(
            f"{name}: expected a name for each of the {widths.pop()} fields of every line, received {len(header)} in "
            "line 1: is the header further down, or does it lack a name?"
        )
    check_header(name, header)
    if not n_rows:
        raise UserError(f"{name} has a header and no rows")
    if ragged:
        more = [f"and {n_ragged - SHOWN} more"] if n_ragged > SHOWN else []
        raise UserError(
            "\n  ".join(
                [
                    f"{name}: expected {len(header)} fields in every line as in the header, received:",
                    *ragged,
                    *more,
                ]
            )
        )
    return header


def names_of(header: list[str]) -> list[str]:
    """The names of the columns; a first one without a name is the index that pandas and R write."""
    names = [field.strip() for field in header]
    return [names[0] or TextForm.UNNAMED, *names[1:]] if names else names


def check_header(name: str, header: list[str]) -> None:
    """Refuse a header without a name for each column."""
    if problems := _header_problems(header):
        raise UserError("\n  ".join([f"{name}: the header line is not usable:", *problems]))


def _header_problems(header: list[str]) -> list[str]:
    problems = []
    if blank := [number for number, field in enumerate(header, 1) if not field]:
        advice = "is the header further down?" if len(blank) == len(header) - 1 > 1 else "name or remove what lacks one"
        columns = ", ".join(map(str, blank))
        problems.append(f"expected a name for every column, received none for column {columns}: {advice}")
    counts = Counter(header)
    if twice := [field for field, count in counts.items() if count > 1 and field]:
        problems.append(
            f"expected each name once, received more than once: {', '.join(twice)}; blanks around do not count"
        )
    numbers = [field for field in header if _is_number(field)]
    is_data = 2 * len(numbers) >= len(header) and any(re.search(r"[.,-]", field) for field in numbers)
    if len(header) > 1 and (is_data or len(numbers) == len(header)):
        problems.append(f"expected names, received numbers ({', '.join(numbers[:3])}, …): is the header missing?")
    return problems


def _is_number(text: str) -> bool:
    try:
        float(text.replace(",", "."))
    except ValueError:
        return False
    return True
