"""`python -m serving.batch BUNDLE IN OUT`: predictions for a file of any size, through the service's own checks.

IN is CSV or Parquet with the features as columns, OUT is Parquet or CSV with a row for each row of IN. Both are
streamed: memory does not grow with the file. Nothing is left at OUT where a row cannot be predicted.
"""

import argparse
import csv
import sys
from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from contracts.bundle import BundleDamaged
from contracts.schema import Schema
from serving.errors import SHOWN, Problem
from serving.predictor import Predictor
from serving.validation.csv_rows import parsed_rows
from serving.validation.rows import Door, Rows

CHUNK = 10_000  # rows in memory


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m serving.batch", description="Predict for every row of a file.")
    parser.add_argument("bundle", type=Path, help="the bundle's folder")
    parser.add_argument("source", type=Path, help="rows.csv or rows.parquet")
    parser.add_argument("target", type=Path, help="predictions.parquet or predictions.csv")
    arguments = parser.parse_args()
    try:
        count, odd = predict_file(arguments.bundle, arguments.source, arguments.target)
    except (OSError, BundleDamaged, ValueError, pa.ArrowException) as error:
        print(f"predict-file: {error}", file=sys.stderr)
        return 2
    except Problem as problem:
        print(f"predict-file: {problem.detail}", file=sys.stderr)
        for wrong in problem.errors[1:SHOWN]:
            print(f"  {wrong.path}: expected {wrong.expected}, received {wrong.received}", file=sys.stderr)
        return 2
    print(f"{count} rows predicted, {odd} warnings: {arguments.target}")
    return 0


def predict_file(bundle: Path, source: Path, target: Path) -> tuple[int, int]:
    """Write the predictions; return the number of rows and of warnings.

    Raises:
        Problem: with the line and column of what is wrong, in the first chunk where something is.
        ValueError: for a file that is neither CSV nor Parquet, or a model of images.
    """
    predictor = Predictor(bundle, bulk_threads=0)
    schema = predictor.schema
    if schema.image is not None:
        raise ValueError(f"expected a model of rows, received {schema.dataset}, a model of images")
    door = Door(schema, CHUNK)
    readers = {".csv": _csv_chunks, ".parquet": _parquet_chunks}
    writers = {".csv": pyarrow.csv.CSVWriter, ".parquet": pyarrow.parquet.ParquetWriter}
    if source.suffix not in readers or target.suffix not in writers:
        raise ValueError(f"expected .csv or .parquet, received {source.name} and {target.name}")
    part = target.with_name(target.name + ".part")
    count = odd = 0
    try:
        with part.open("wb") as file, writers[target.suffix](file, _columns(schema)) as writer:
            for rows in readers[source.suffix](door, source):
                count, odd = count + len(rows.encoded), odd + len(rows.warnings)
                writer.write_table(_table(schema, predictor.predict(rows.encoded)))
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
    return count, odd


def _columns(schema: Schema) -> pa.Schema:
    label = [("label", pa.string())] if schema.picks_one else []
    names = [f"P({name})" for name in schema.classes] or schema.outputs
    return pa.schema([*label, *((name, pa.float32()) for name in names)])


def _table(schema: Schema, predictions: np.ndarray) -> pa.Table:
    columns: list[Any] = [np.ascontiguousarray(column) for column in predictions.reshape(-1, len(schema.outputs)).T]
    if schema.picks_one:
        columns.insert(0, pa.array(schema.classes).take(pa.array(predictions.argmax(axis=1))))
    return pa.table(columns, schema=_columns(schema))


def _csv_chunks(door: Door, path: Path) -> Iterator[Rows]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        lines = csv.reader(file, strict=True)
        try:
            header = next(lines, [])
            start = 1
            while chunk := list(islice(lines, CHUNK)):
                yield parsed_rows(door, [header, *chunk], start)
                start += len(chunk)
            if start == 1:  # a header alone, or nothing: the same complaints
                yield from (rows for rows in [parsed_rows(door, [header])] if len(rows.encoded))
        except (csv.Error, UnicodeDecodeError) as error:
            raise Problem(400, f"{path}: after line {lines.line_num}: {error}") from None


def _parquet_chunks(door: Door, path: Path) -> Iterator[Rows]:
    file = pa.parquet.ParquetFile(path)
    missing = [name for name in door.names if name not in file.schema_arrow.names]
    if missing:
        raise ValueError(f"{path}: expected columns {', '.join(door.names)}; {', '.join(missing)} missing")
    start = 0
    for batch in file.iter_batches(CHUNK, columns=list(door.names)):
        columns: dict[str, Any] = {name: batch.column(name).to_pylist() for name in door.names}
        yield door.columns(columns, partial(_row_path, start), [])
        start += batch.num_rows


def _row_path(first: int, row: int, name: str) -> str:
    return f"row {first + row}, column {name!r}"


if __name__ == "__main__":
    sys.exit(main())
