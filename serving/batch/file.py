"""Predictions for the rows of a file of any size, with the service's validation."""

import codecs
import contextlib
import csv
import fcntl
import gzip
import os
import zlib
from collections.abc import Iterator, Set
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from contracts.ahead import ahead
from contracts.arrow import numbers_of
from contracts.encoding import answer, answer_names, decide
from contracts.files import LONGEST_FIELD, unfinished_path, write_atomically
from contracts.schema import NumericFeature, Schema, TextForm
from serving.batch.parquet_rows import parquet_chunks
from serving.errors import Problem
from serving.predictor import Predictor
from serving.validation.csv_rows import form_of, read_number, validate_lines
from serving.validation.validator import EncodedRows, InputValidator

CHUNK_ROWS = 10_000  # rows of text in memory
PREDICTED_ROWS = 8192  # rows of one call: with more, the activations of a network do not fit into the processor's cache
JSON_LINES = (".jsonl", ".ndjson")
TEXTS = (".csv", ".tsv", ".txt", *JSON_LINES)
WRITERS: dict[str, Any] = {
    ".csv": pyarrow.csv.CSVWriter,
    ".parquet": partial(pyarrow.parquet.ParquetWriter, use_dictionary=["label"]),  # probabilities seldom repeat
}


class Counts(NamedTuple):
    """What was predicted."""

    rows: int
    warnings: int
    first: str  # the first warning; empty without one


def predict_file(bundle: Path, source: Path, target: Path) -> Counts:
    """Write the predictions for one file.

    Raises:
        Problem: the errors of the first chunk that has any, with line and column.
        ValueError: the file is neither CSV nor Parquet, or both are one file, or the model is one of images.
    """
    predictor = open_predictor(bundle)
    if not is_table(source) or target.suffix not in WRITERS:
        raise ValueError(
            "expected IN as .csv, .tsv, .txt or .jsonl, each also as .gz, or as .parquet, and OUT as .csv or .parquet, "
            f"received {source.name} and {target.name}"
        )
    if source.exists() and not source.is_file():
        raise ValueError(f"IN: expected a file, received {source}, a pipe or a device")
    if any(path.exists() and path.samefile(source) for path in (target, unfinished_path(target))):
        raise ValueError(f"OUT: expected another file than IN, received {target}")
    target.parent.mkdir(parents=True, exist_ok=True)
    with (
        only_run(target, os.open(unfinished_path(target), os.O_RDWR | os.O_CREAT)),
        write_atomically(target) as unfinished,
    ):
        return predict_rows(predictor, source, unfinished, {})


@contextlib.contextmanager
def only_run(target: Path, held: int) -> Iterator[None]:
    """Hold an open file or folder, so that no other run writes to `target`. The lock ends with the process."""
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise ValueError(f"{target}: another run writes there: wait until it ends") from None
    finally:
        os.close(held)


def open_predictor(bundle: Path, threads: int = 0) -> Predictor:
    """The model of a bundle, by default on all cores; a model of images is refused with `ValueError`."""
    predictor = Predictor(bundle, bulk_threads=threads)
    if predictor.schema.image is not None:
        raise ValueError(f"expected a model of rows, received {predictor.schema.dataset}, a model of images")
    return predictor


def is_table(path: Path) -> bool:
    """Whether a file can be predicted, by its name."""
    return path.suffix == ".parquet" or Path(path.name.removesuffix(".gz")).suffix in TEXTS


def predict_rows(predictor: Predictor, source: Path, target: Path, notes: dict[str, str]) -> Counts:
    """Write the predictions for the rows of `source` to `target`, which has `notes` if it is Parquet.

    A reader may see them before they are complete.
    """
    validator = InputValidator(predictor.schema, CHUNK_ROWS)
    is_json = source.name.removesuffix(".gz").endswith(JSON_LINES)
    chunks = parquet_chunks if source.suffix == ".parquet" else _json_chunks if is_json else _csv_chunks
    columns = _columns(predictor.schema)
    n_rows, n_warnings, first = 0, 0, ""
    with WRITERS[target.suffix](target, columns.with_metadata(notes) if notes else columns) as writer:
        for rows in ahead(chunks(validator, source)):
            writer.write_table(_table(predictor, rows.encoded, n_rows))
            n_rows, n_warnings = n_rows + len(rows.encoded), n_warnings + sum(rows.kinds.values())
            first = first or next((f"{warning.path}: {warning.message}" for warning in rows.warnings), "")
    return Counts(n_rows, n_warnings, first)


def _columns(schema: Schema) -> pa.Schema:
    label = [("label", pa.array(schema.labels).type)] if schema.picks_one else []
    names = [f"P({name})" for name in schema.classes] or answer_names(schema)
    return pa.schema([*label, *((name, pa.float32()) for name in names)])


def _table(predictor: Predictor, rows: np.ndarray, rows_before: int) -> pa.Table:
    schema, n = predictor.schema, PREDICTED_ROWS
    predictions = np.concatenate(
        [answer(schema, predictor.outputs(rows[first : first + n])) for first in range(0, max(1, len(rows)), n)]
    )
    finite = np.isfinite(predictions).all(axis=1)
    if not finite.all():
        row = rows_before + int(np.argmin(finite)) + 1
        raise Problem(400, f"row {row:,}, counted from 1, is too far from the training data to give a number")
    columns: list[Any] = [np.ascontiguousarray(column) for column in predictions.T]
    if schema.picks_one:
        columns.insert(0, pa.array(schema.labels).take(pa.array(decide(predictions, predictor.manifest.threshold))))
    return pa.table(columns, schema=_columns(schema))


def _csv_chunks(validator: InputValidator, path: Path) -> Iterator[EncodedRows]:
    csv.field_size_limit(LONGEST_FIELD)
    opened, lines = gzip.open if path.suffix == ".gz" else open, None
    with opened(path, "rt", encoding=_encoding(validator.schema, path), newline="") as file:
        try:
            form = form_of(validator, file.readline())
            file.seek(0)
            lines = csv.reader(file, strict=True, delimiter=form.delimiter)
            header = next(lines, [])
            lines_before = 1
            rows = _without_blank_end(validator, lines)
            while chunk := list(islice(rows, CHUNK_ROWS)):
                yield validate_lines(validator, [header, *chunk], form, lines_before)
                lines_before += len(chunk)
            if lines_before == 1:  # without rows, the header is still checked
                validate_lines(validator, [header], form)
        except (csv.Error, UnicodeDecodeError, EOFError, zlib.error) as error:
            raise Problem(400, f"{path}: after line {lines.line_num if lines else 0}: {error}") from None


def _without_blank_end(validator: InputValidator, lines: Iterator[list[str]]) -> Iterator[list[str]]:
    """Lines without those at the end that have no value, which spreadsheets write and training leaves out, unless a row
    may lack every value.
    """
    if all(getattr(feature, "missing", False) for feature in validator.features):
        yield from lines
    blank: list[list[str]] = []
    for line in lines:
        if any(line):
            yield from (*blank, line)
            blank.clear()
        else:
            blank.append(line)


def _json_chunks(validator: InputValidator, path: Path) -> Iterator[EncodedRows]:
    number = lines_before = 0
    gaps = {feature.name: None for feature in validator.features if getattr(feature, "missing", False)}
    numbers = {feature.name for feature in validator.features if isinstance(feature, NumericFeature)}
    form = validator.schema.text or TextForm()
    markers: set[Any] = set(filter(None, form.missing)) | set(numbers_of(form.missing))
    with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as file:
        try:
            while lines := list(islice(file, CHUNK_ROWS)):
                rows = {}
                for number, line in enumerate(lines, lines_before + 1):
                    if line.strip():
                        row = orjson.loads(line)
                        rows[number] = _as_fetched(row, gaps, numbers, form, markers)
                lines_before += len(lines)
                places = [f"line {number}" for number in rows]
                yield validator.validate_rows(list(rows.values()), places.__getitem__)
        except (orjson.JSONDecodeError, EOFError, zlib.error) as error:
            raise Problem(400, f"{path}: line {number}: {error}") from None


def _as_fetched(row: Any, gaps: dict[str, None], numbers: set[str], form: TextForm, markers: Set[Any]) -> Any:
    """A row as `fetch` reads it: a name that is not there and a marker have no value, and the text of a number is a
    number.
    """
    if not isinstance(row, dict):
        return row
    marked = {name: None for name, value in row.items() if markers and _is_marker(value, markers)}
    texts = {name: value for name, value in row.items() if type(value) is str and name in numbers}
    read = {name: read_number(text, form, form.units.get(name, "")) for name, text in texts.items()}
    return {**gaps, **row, **read, **marked}


def _is_marker(value: Any, markers: Set[Any]) -> bool:
    if isinstance(value, str):
        return value.strip() in markers
    return type(value) in (int, float) and value in markers


def _encoding(schema: Schema, path: Path) -> str:
    """UTF-8, or the encoding of the data's files if the file is not UTF-8."""
    if schema.text is None or schema.text.encoding in ("utf-8", "utf-8-sig"):
        return "utf-8-sig"
    decoder = codecs.getincrementaldecoder("utf-8")()
    with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as file:
        try:
            while block := file.read(2**20):
                decoder.decode(block)
        except UnicodeDecodeError:
            return schema.text.encoding
        except (OSError, EOFError, zlib.error):  # the reader of the rows names the damage
            pass
    return "utf-8-sig"
