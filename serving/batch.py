"""`python -m serving.batch BUNDLE IN OUT`: predictions for a file of any size, with the service's validation.

IN is text, also in gzip, or Parquet, with the features as columns: the file that the model learned from, for example.
OUT is Parquet or CSV with one row per row of IN. Both are streamed, so memory does not grow with the file. If a row is
invalid, nothing is left at OUT.
"""

import argparse
import codecs
import csv
import gzip
import sys
import zlib
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from contracts.bundle import BundleDamaged
from contracts.encoding import decide
from contracts.files import unfinished_path, write_atomically
from contracts.schema import Schema
from serving.errors import MAX_LISTED, Problem
from serving.predictor import Predictor
from serving.validation.csv_rows import form_of, validate_lines
from serving.validation.validator import EncodedRows, InputValidator

CHUNK_ROWS = 10_000  # rows in memory
TEXTS = (".csv", ".tsv", ".txt")


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m serving.batch", description="Predict for every row of a file.")
    parser.add_argument("bundle", type=Path, help="the bundle's folder")
    parser.add_argument("source", type=Path, help="rows.csv or rows.parquet")
    parser.add_argument("target", type=Path, help="predictions.parquet or predictions.csv")
    args = parser.parse_args(argv)
    try:
        n_rows, n_warnings = predict_file(args.bundle, args.source, args.target)
    except (OSError, BundleDamaged, ValueError, pa.ArrowException) as error:
        print(f"predict-file: {error}", file=sys.stderr)
        return 2
    except Problem as problem:
        print(f"predict-file: {problem.detail}", file=sys.stderr)
        for path, expected, received in problem.errors[1:MAX_LISTED]:
            print(f"  {path}: expected {expected}, received {received}", file=sys.stderr)
        return 2
    print(f"{n_rows} rows predicted, {n_warnings} warnings: {args.target}")
    return 0


def predict_file(bundle: Path, source: Path, target: Path) -> tuple[int, int]:
    """Write the predictions; return the number of rows and of warnings.

    Raises:
        Problem: the errors of the first chunk that has any, with line and column.
        ValueError: the file is neither CSV nor Parquet, or both are one file, or the model is one of images.
    """
    predictor = Predictor(bundle, bulk_threads=0)
    schema = predictor.schema
    if schema.image is not None:
        raise ValueError(f"expected a model of rows, received {schema.dataset}, a model of images")
    validator = InputValidator(schema, CHUNK_ROWS)
    readers = dict.fromkeys(TEXTS, _csv_chunks) | {".parquet": _parquet_chunks}
    writers = {".csv": pyarrow.csv.CSVWriter, ".parquet": pyarrow.parquet.ParquetWriter}
    kind = Path(source.name.removesuffix(".gz")).suffix
    if kind not in readers or target.suffix not in writers or source.name.endswith(".parquet.gz"):
        raise ValueError(f"expected .csv or .parquet, received {source.name} and {target.name}")
    if any(path.exists() and path.samefile(source) for path in (target, unfinished_path(target))):
        raise ValueError(f"OUT: expected another file than IN, received {target}")
    n_rows = n_warnings = 0
    with write_atomically(target) as unfinished, writers[target.suffix](unfinished, _columns(schema)) as writer:
        for rows in readers[kind](validator, source):
            n_rows, n_warnings = n_rows + len(rows.encoded), n_warnings + len(rows.warnings)
            writer.write_table(_table(predictor, rows.encoded))
    return n_rows, n_warnings


def _columns(schema: Schema) -> pa.Schema:
    label = [("label", pa.array(schema.labels).type)] if schema.picks_one else []
    names = [f"P({name})" for name in schema.classes] or schema.outputs
    return pa.schema([*label, *((name, pa.float32()) for name in names)])


def _table(predictor: Predictor, rows: np.ndarray) -> pa.Table:
    schema, predictions = predictor.schema, predictor.predict(rows)
    columns: list[Any] = [np.ascontiguousarray(column) for column in predictions.reshape(-1, len(schema.outputs)).T]
    if schema.picks_one:
        columns.insert(0, pa.array(schema.labels).take(pa.array(decide(predictions, predictor.manifest.threshold))))
    return pa.table(columns, schema=_columns(schema))


def _csv_chunks(validator: InputValidator, path: Path) -> Iterator[EncodedRows]:
    opened, lines = gzip.open if path.suffix == ".gz" else open, None
    with opened(path, "rt", encoding=_encoding(validator.schema, path), newline="") as file:
        try:
            form = form_of(validator, file.readline())
            file.seek(0)
            lines = csv.reader(file, strict=True, delimiter=form.delimiter)
            header = next(lines, [])
            lines_before = 1
            while chunk := list(islice(lines, CHUNK_ROWS)):
                yield validate_lines(validator, [header, *chunk], form, lines_before)
                lines_before += len(chunk)
            if lines_before == 1:  # no rows: the header is still checked
                validate_lines(validator, [header], form)
        except (csv.Error, UnicodeDecodeError, EOFError, zlib.error) as error:
            raise Problem(400, f"{path}: after line {lines.line_num if lines else 0}: {error}") from None


def _encoding(schema: Schema, path: Path) -> str:
    """UTF-8, or the encoding of the data's files where the file's begin is something else."""
    with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as file:
        begin = file.read(2**20)
    try:
        codecs.getincrementaldecoder("utf-8")().decode(begin)
    except UnicodeDecodeError:
        return "utf-8-sig" if schema.text is None else schema.text.encoding
    return "utf-8-sig"


def _parquet_chunks(validator: InputValidator, path: Path) -> Iterator[EncodedRows]:
    file = pa.parquet.ParquetFile(path)
    missing = [name for name in validator.names if name not in file.schema_arrow.names]
    if missing:
        raise ValueError(f"{path}: expected columns {', '.join(validator.names)}; {', '.join(missing)} missing")
    rows_before = 0
    for batch in file.iter_batches(CHUNK_ROWS, columns=list(validator.names)):
        columns: dict[str, Any] = {name: batch.column(name).to_pylist() for name in validator.names}
        yield validator.validate_columns(columns, partial(_row_path, rows_before), [])
        rows_before += batch.num_rows


def _row_path(rows_before: int, row: int, name: str) -> str:
    return f"row {rows_before + row}, column {name!r}"


if __name__ == "__main__":
    sys.exit(main())
