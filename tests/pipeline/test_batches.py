"""Parts that are read in batches: the same numbers as from the whole table, in little memory."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from contracts.encoding import encode
from contracts.schema import Schema
from contracts.settings.load import Source
from pipeline.data import row_ids, splits
from pipeline.data.schema_inference import infer_schema
from pipeline.paths import Paths
from pipeline.sources.streaming.parquet import parquet_batches
from pipeline.tables import TARGET

ROWS = 1000


def table_of(kind: str) -> pa.Table:
    """Numbers with gaps only at the end, whole numbers, categories, dates as text; a target of each kind."""
    generator = np.random.default_rng(0)
    whole = generator.integers(0, 2**40, ROWS)
    whole[0] = 2**60 + 2**36 + 1  # rounds up to float32, but down by way of float64
    late = np.arange(ROWS) > 950
    colours = generator.choice(["red", "green", "blue"], ROWS)
    seconds = generator.integers(-(2**30), 2**31, ROWS) * 1000 + 700  # and milliseconds, before 1970 too
    targets = {
        "multiclass": colours,
        "regression": generator.normal(size=ROWS) * 1e5,
        "multilabel": [{"a": bool(n % 2), "b": bool(n % 3)} for n in range(ROWS)],
        "several": [{"x": float(n), "y": n / 7} for n in range(ROWS)],
    }
    return pa.table(
        {
            "number": pa.array(np.where(late, np.nan, generator.normal(size=ROWS)), from_pandas=True),
            "whole": whole,
            "gap": pa.array(whole, mask=late),
            "colour": pa.array(colours, mask=generator.random(ROWS) < 0.1),
            "grade": generator.choice(["low", "middle", "high"], ROWS),
            "day": pa.array(seconds, pa.timestamp("ms"), mask=late),
            "weight": generator.random(ROWS),
            TARGET: pa.array(targets[kind]),
        }
    )


def prepared(folder: Path, kind: str) -> tuple[Schema, pa.Table]:
    table = table_of(kind)
    columns = {"colour": "category", "grade": ["low", "middle", "high"]}
    task = "regression" if kind == "several" else kind
    source = Source(source="scikit-learn", task=task, columns=columns, weight="weight")
    schema = infer_schema("tiny", source, table, "md5", bins=8)
    schema.save(folder / "schema.json")
    for part in ("train", "validation"):
        pq.write_table(table, folder / f"{part}.parquet", row_group_size=300)
    return schema, table


@pytest.mark.parametrize("kind", ["multiclass", "regression", "multilabel", "several"])
def test_batches_give_the_numbers_of_the_whole_table(kind: str, tmp_path: Path, monkeypatch) -> None:
    schema, table = prepared(tmp_path, kind)
    whole = splits.read_part(tmp_path / "train.parquet", schema)
    frame = table.drop_columns([TARGET]).to_pandas().astype({"whole": float})
    np.testing.assert_array_equal(whole[0], encode(schema, frame))  # as the rows of a request are encoded
    monkeypatch.setattr(splits, "BATCH_ROWS", 37)
    for ours, theirs in zip(splits.read_part(tmp_path / "train.parquet", schema), whole, strict=True):
        assert ours.dtype == theirs.dtype
        assert ours.tobytes() == theirs.tobytes()


def test_a_sample_has_the_rows_that_the_seed_says_in_their_order(tmp_path: Path, monkeypatch) -> None:
    schema, _ = prepared(tmp_path, "regression")
    path = tmp_path / "validation.parquet"
    rows, target = splits.read_part(path, schema)
    monkeypatch.setattr(splits, "BATCH_ROWS", 37)
    for seed in (1, 2):
        chosen = splits.sample_of(ROWS, 100, seed)
        sample, its_target = splits.read_part(path, schema, 100, seed)
        np.testing.assert_array_equal(sample, rows[chosen])
        np.testing.assert_array_equal(its_target, target[chosen])
        assert splits.read_rows(path, 100, seed).equals(pq.read_table(path).take(chosen))
    assert splits.sample_of(ROWS, ROWS, 1) is None
    assert set(splits.sample_of(ROWS, 100, 1)) != set(splits.sample_of(ROWS, 100, 2))


def test_the_validation_rows_of_a_search_are_a_sample_and_its_train_rows_are_all(tmp_path: Path, monkeypatch) -> None:
    from pipeline.data.training_data import write_training_data

    monkeypatch.chdir(tmp_path)
    paths = Paths("tiny", tmp_path)
    paths.prepared.mkdir(parents=True)
    schema, _ = prepared(paths.prepared, "regression")
    data = write_training_data(paths, tmp_path, validation_rows=100, seed=7, samples=(50, 200))
    expected = splits.read_part(paths.prepared / "validation.parquet", schema, 100, 7)
    for ours, theirs in zip(data.split("validation"), expected, strict=False):
        np.testing.assert_array_equal(ours, theirs)
    assert len(data.split("validation").weight) == 100
    assert len(data.split("train").target) == ROWS
    for n_rows in (50, 200):
        sample, chosen = data.sample(n_rows), splits.sample_of(ROWS, n_rows, 7)
        for ours, theirs in zip(sample.split("train"), data.split("train"), strict=True):
            np.testing.assert_array_equal(ours, theirs[chosen])
        np.testing.assert_array_equal(sample.split("validation").target, data.split("validation").target)


def test_ids_of_rows_are_the_same_in_batches(tmp_path: Path, monkeypatch) -> None:
    """The type of a column in pandas depends on whether it has gaps, and a hash depends on the type."""
    _, table = prepared(tmp_path, "multiclass")
    monkeypatch.setattr(splits, "BATCH_ROWS", 37)
    np.testing.assert_array_equal(row_ids.read_row_ids(tmp_path / "train.parquet"), row_ids.row_ids(table))


MEASURED = """
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from contracts.schema import load_schema
from models.training.data import Data, Split
from pipeline.data.splits import count_rows, encode_rows, encoded_columns, iter_rows
folder = Path(sys.argv[1])
schema = load_schema(folder / "schema.json")
for name in ("small", "large"):
    path = folder / f"{name}.parquet"
    batches = (Split(*encode_rows(table, schema)) for table in iter_rows(path, columns=encoded_columns(schema)))
    Data(folder, folder / "schema.json").write("train", count_rows(path), batches)
    # `ru_maxrss` begins with that of the process that started this one.
    print(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
"""


def test_the_memory_of_encoding_does_not_grow_with_the_table(tmp_path: Path) -> None:
    schema, table = prepared(tmp_path, "multiclass")
    group = pa.concat_tables([table] * 100)
    for name, groups in (("small", 3), ("large", 20)):
        with pq.ParquetWriter(tmp_path / f"{name}.parquet", table.schema) as writer:
            for _ in range(groups):
                writer.write_table(group)
    done = subprocess.run([sys.executable, "-c", MEASURED, str(tmp_path)], capture_output=True, text=True, check=True)
    written = (tmp_path / "train.features.npy").stat().st_size
    assert written == 128 + 2_000_000 * 4 * schema.input_width
    small, large = (int(line) * 1024 for line in done.stdout.split())
    assert large - small < written * 0.6  # 17 to 21 MB of 61, and all of them if batches were kept


@pytest.mark.parametrize("read", [splits.iter_rows, lambda path: parquet_batches(str(path), pq.read_schema(path))])
def test_row_groups_that_were_read_are_not_kept(read: Callable[[Path], Iterator[pa.Table]], tmp_path: Path) -> None:
    rows = pa.table({"x": np.random.default_rng(0).random(20 * 65_536)})
    pq.write_table(rows, tmp_path / "rows.parquet", row_group_size=65_536)
    before = pa.total_allocated_bytes()
    kept = max(pa.total_allocated_bytes() - before for _ in read(tmp_path / "rows.parquet"))
    assert kept < (tmp_path / "rows.parquet").stat().st_size / 2
