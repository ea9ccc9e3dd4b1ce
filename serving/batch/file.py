"""Predictions for the rows of a file of any size, with the service's validation."""

import codecs
import contextlib
import csv
import fcntl
import gzip
import os
import zlib
from collections.abc import Iterator
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
from contracts.arrow import repeated, wall_clock
from contracts.encoding import answer, answer_names, decide
from contracts.files import LONGEST_FIELD, unfinished_path, write_atomically
from contracts.schema import CategoricalFeature, DateFeature, Feature, NumericFeature, Schema
from serving.errors import Problem
from serving.predictor import Predictor
from serving.validation.csv_rows import form_of, validate_lines
from serving.validation.validator import EncodedRows, InputValidator

CHUNK_ROWS = 10_000  # rows of text in memory
BATCH_ROWS = 65_536  # rows of Parquet in memory
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
    chunks = _parquet_chunks if source.suffix == ".parquet" else _json_chunks if is_json else _csv_chunks
    columns = _columns(predictor.schema)
    n_rows, n_warnings, first = 0, 0, ""
    with WRITERS[target.suffix](target, columns.with_metadata(notes) if notes else columns) as writer:
        for rows in ahead(chunks(validator, source)):
            n_rows, n_warnings = n_rows + len(rows.encoded), n_warnings + sum(rows.kinds.values())
            first = first or next((f"{warning.path}: {warning.message}" for warning in rows.warnings), "")
            writer.write_table(_table(predictor, rows.encoded))
    return Counts(n_rows, n_warnings, first)


def _columns(schema: Schema) -> pa.Schema:
    label = [("label", pa.array(schema.labels).type)] if schema.picks_one else []
    names = [f"P({name})" for name in schema.classes] or answer_names(schema)
    return pa.schema([*label, *((name, pa.float32()) for name in names)])


def _table(predictor: Predictor, rows: np.ndarray) -> pa.Table:
    schema, n = predictor.schema, PREDICTED_ROWS
    predictions = np.concatenate(
        [answer(schema, predictor.outputs(rows[first : first + n])) for first in range(0, max(1, len(rows)), n)]
    )
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
    with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as file:
        try:
            while lines := list(islice(file, CHUNK_ROWS)):
                rows = {}
                for number, line in enumerate(lines, lines_before + 1):
                    if line.strip():
                        row = orjson.loads(line)
                        rows[number] = {**gaps, **row} if isinstance(row, dict) else row  # as `fetch` reads it
                lines_before += len(lines)
                places = [f"line {number}" for number in rows]
                yield validator.validate_rows(list(rows.values()), places.__getitem__)
        except (orjson.JSONDecodeError, EOFError, zlib.error) as error:
            raise Problem(400, f"{path}: line {number}: {error}") from None


def _encoding(schema: Schema, path: Path) -> str:
    """UTF-8, or the encoding of the data's files if the beginning of the file is not UTF-8."""
    with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as file:
        begin = file.read(2**20)
    try:
        codecs.getincrementaldecoder("utf-8")().decode(begin)
    except UnicodeDecodeError:
        return "utf-8-sig" if schema.text is None else schema.text.encoding
    return "utf-8-sig"


def _parquet_chunks(validator: InputValidator, path: Path) -> Iterator[EncodedRows]:
    file = pa.parquet.ParquetFile(path, pre_buffer=False)
    missing = [name for name in validator.names if name not in file.schema_arrow.names]
    if missing:
        raise ValueError(f"{path}: expected columns {', '.join(validator.names)}; {', '.join(missing)} missing")
    rows_before = 0
    for batch in file.iter_batches(BATCH_ROWS, columns=list(validator.names)):
        columns = {feature.name: _values(feature, batch.column(feature.name)) for feature in validator.features}
        yield validator.validate_columns(columns, partial(_row_path, rows_before), [])
        rows_before += batch.num_rows


def _values(feature: Feature, column: pa.Array) -> Any:
    """The values of a column: an array or `Repeated` if the feature can have all of them, else a list, so that each
    error is named.
    """
    kind = column.type
    if column.null_count and not getattr(feature, "missing", True):
        return column.to_pylist()
    is_number = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    if isinstance(feature, NumericFeature) and is_number:
        return column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    if isinstance(feature, CategoricalFeature | DateFeature) and _is_text(kind):
        return repeated(column)
    if isinstance(feature, DateFeature) and (pa.types.is_date(kind) or pa.types.is_timestamp(kind)):
        return wall_clock(column).to_numpy(zero_copy_only=False)
    return column.to_pylist()


def _is_text(kind: pa.DataType) -> bool:
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def _row_path(rows_before: int, row: int, name: str) -> str:
    return f"row {rows_before + row}, column {name!r}"
