"""Cases of `bench.data` in the environment of `data.lock`: `python -m bench.peers.data_streams <system> <table>
<folder>` prints the seconds as JSON.

Each does what `bench.data_case.pandas` does: split at random, constants and bins of the numbers and codes of the
categories on the train rows, a description, three files. They read lazily, so that reading is a part of it.
"""

import json
import sys
import time
from pathlib import Path

PARTS = {"train": 0.64, "validation": 0.16, "test": 0.2}
BINS, CATEGORIES = 48, 255


def polars(table: Path, folder: Path) -> None:
    """Polars with its streaming engine; each query reads the table."""
    import polars as pl
    from polars import selectors

    rows = pl.scan_csv(table, try_parse_dates=True) if table.suffix == ".csv" else pl.scan_parquet(table)
    rows, share = rows.with_row_index("_row"), pl.col("_row").hash(seed=42) / 2.0**64
    parts, low = {}, 0.0
    for name, size in PARTS.items():
        parts[name] = rows.filter(share.is_between(low, low + size, closed="left")).drop("_row")
        low += size
    train, numbers = parts["train"].drop("y"), selectors.numeric()
    quantiles = [numbers.quantile(q / BINS).name.suffix(f"_q{q}") for q in range(BINS + 1)]
    train.select(numbers.mean().name.suffix("_mean"), numbers.std().name.suffix("_std"), *quantiles).collect(
        engine="streaming"
    )
    columns = train.collect_schema().names()
    for column in columns:
        if column.startswith("category"):
            train.group_by(column).len().top_k(CATEGORIES, by="len").collect(engine="streaming")
    described = [pl.col(column).null_count().name.suffix("_missing") for column in columns] + [
        pl.col(column).n_unique().name.suffix("_distinct") for column in columns
    ]
    train.select(*described, numbers.min().name.suffix("_min"), numbers.max().name.suffix("_max")).collect(
        engine="streaming"
    )
    for name, part in parts.items():
        part.sink_parquet(folder / f"{name}.parquet", compression="zstd")


def dask_ml(table: Path, folder: Path) -> None:
    """With Dask's default scheduler for tables, threads of one process. It has no bins: quantiles take their place."""
    import dask.dataframe as dd
    from dask_ml.impute import SimpleImputer
    from dask_ml.model_selection import train_test_split
    from dask_ml.preprocessing import Categorizer, OrdinalEncoder, QuantileTransformer, StandardScaler

    frame = dd.read_csv(table, parse_dates=["day"]) if table.suffix == ".csv" else dd.read_parquet(table)
    rest, test = train_test_split(frame, test_size=PARTS["test"], shuffle=True, random_state=42)
    train, validation = train_test_split(rest, test_size=0.2, shuffle=True, random_state=42)
    numbers = train.drop(columns="y").select_dtypes("number").astype(float)
    filled = SimpleImputer(strategy="median").fit(numbers).transform(numbers)
    StandardScaler().fit(filled)
    QuantileTransformer(n_quantiles=BINS + 1).fit(filled.to_dask_array(lengths=True))
    categories = train[[name for name in train.columns if name.startswith("category")]]
    OrdinalEncoder().fit(Categorizer().fit_transform(categories))
    numbers.describe().compute()
    for name, part in {"train": train, "validation": validation, "test": test}.items():
        part.to_parquet(folder / name, compression="zstd", write_index=False)


def main(system: str, table: str, folder: str) -> None:
    begun = time.perf_counter()
    Path(folder).mkdir(parents=True, exist_ok=True)
    {"polars": polars, "dask_ml": dask_ml}[system](Path(table), Path(folder))
    print(json.dumps({"fetch_and_preprocess": time.perf_counter() - begun}))


if __name__ == "__main__":
    main(*sys.argv[1:])
