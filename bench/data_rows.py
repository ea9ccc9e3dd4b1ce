"""Generated tables of mixed columns: 12 numbers, 6 categories of 2 to 100,000 values, a date, a text and a target."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

CATEGORIES = (2, 5, 20, 100, 5_000, 100_000)
CHUNK = 250_000  # rows made at a time


def write_table(path: Path, rows: int) -> None:
    """Write a CSV or Parquet file, by the ending of its name; the same rows each time."""
    schema = _rows(0, 10).schema
    kind = pq.ParquetWriter if path.suffix == ".parquet" else pyarrow.csv.CSVWriter
    with kind(str(path), schema) as writer:
        for start in range(0, rows, CHUNK):
            writer.write_table(_rows(start, min(CHUNK, rows - start)))


def _rows(start: int, n: int) -> pa.Table:
    r = np.random.default_rng(start)
    numbers = {f"number_{i}": r.normal(10, 3, n) for i in range(8)}
    numbers |= {"long_tail": r.lognormal(0, 1, n), "share": r.random(n), "count": r.integers(0, 1000, n)}
    numbers["gaps"] = np.where(r.random(n) < 0.1, np.nan, r.exponential(1, n))
    columns = {name: pa.array(values, from_pandas=True) for name, values in numbers.items()}
    for i, size in enumerate(CATEGORIES):
        # As in most data some values are frequent and many are rare.
        codes = (size * r.random(n) ** 2).astype(int)
        columns[f"category_{size}"] = pa.DictionaryArray.from_arrays(
            codes, [f"{'abcdef'[i]}{value}" for value in range(size)]
        ).cast(pa.string())
    columns["day"] = pa.array(np.datetime64("2020-01-01") + r.integers(0, 1500, n))
    words = zip(r.integers(0, 10**9, n).tolist(), r.integers(0, 10**6, n).tolist(), strict=True)
    columns["text"] = pa.array([f"order {a} was sent on to place {b}" for a, b in words])
    is_high = numbers["number_0"] + numbers["count"] / 500 + r.normal(0, 2, n) > 11
    return pa.table(columns | {"y": pa.array(is_high.astype(np.int64))})
