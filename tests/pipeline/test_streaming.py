"""A table that is streamed becomes the same files as one that is read as a whole."""

import os
import re
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from contracts.errors import UserError
from contracts.schema import DateFeature, NumericFeature, load_schema
from contracts.settings.load import Source
from contracts.settings.source import Split
from pipeline import resources
from pipeline.data.partition import TEST, TRAIN, VALIDATION, divide
from pipeline.data_report.findings.finding import Finding
from pipeline.paths import Paths
from pipeline.sources.own_table import read_source
from pipeline.stages import fetch, preprocess
from pipeline.streaming.needs import check_stream
from pipeline.streaming.shares import Shares
from pipeline.tables import TARGET
from tests.pipeline.streamed import (
    ROWS,
    STREAMED,
    WHOLE,
    assert_same,
    mixed,
    run_both,
    settings,
    write_csv,
    write_parquet,
)

pytestmark = pytest.mark.usefixtures("small_batches")


@pytest.mark.parametrize("write", [write_csv, write_parquet])
def test_streamed_files_are_those_of_the_whole_table_bit_for_bit(write: Callable, capsys) -> None:
    write(mixed())
    whole, streamed = run_both()
    assert_same(whole, streamed)
    said = capsys.readouterr().out
    assert re.search(
        r"mine: streamed in batches: about 0.00\d+ GiB as a whole, more than fetch.memory, 1e-09 GiB", said
    )
    assert re.search(r"mine: read as a whole: about 0.00\d+ GiB as a whole, no more than fetch.memory, 100 GiB", said)
    assert (whole.prepared / "warnings.json").read_text() == (streamed.prepared / "warnings.json").read_text()


@pytest.mark.usefixtures("no_report")
@pytest.mark.parametrize(
    "source",
    [
        {"split": {"by": "time", "column": "day"}},
        {"split": {"by": "group", "column": "group"}},
        {"split": {"by": "column", "column": "part"}},
        {"test_source": "later.csv"},
        {"target": "size", "columns": {"city": ["Bonn", "Rome", "Oslo, North"], "code": "number", "many": "drop"}},
        {"target": "rooms", "weight": "group", "max_categories": 20},
    ],
    ids=["time", "group", "column", "test rows", "regression, roles", "integer classes, weights"],
)
def test_each_rule_and_role_gives_the_same_rows_and_constants(source: dict) -> None:
    frame = mixed()
    frame["part"] = np.random.default_rng(1).choice(["train", "validation", "test"], ROWS)
    frame["calm"] = np.where(frame["part"] == "test", np.nan, frame["size"] / 2)  # no train row lacks it
    write_csv(frame)
    frame.iloc[:300].to_csv("later.csv", index=False)
    source = Source.model_validate({"source": "rows", "target": "y", **source})
    assert_same(*run_both(**{name: getattr(source, name) for name in source.model_fields_set}))


@pytest.mark.usefixtures("no_report")
@pytest.mark.parametrize("write", [write_csv, write_parquet])
@pytest.mark.parametrize(("rare", "task"), [([-1, -700], "regression"), ([-1, -700, -1400], "multiclass")])
def test_whole_numbers_are_classes_or_a_count_by_the_rows_of_all_batches(
    write: Callable, rare: list, task: str
) -> None:
    target = np.arange(ROWS) % 3
    target[rare] = 3
    write(mixed().assign(y=target))
    whole, streamed = run_both()
    assert_same(whole, streamed)
    assert load_schema(streamed.prepared / "schema.json").task == task


@pytest.mark.usefixtures("no_report")
def test_whole_numbers_beyond_those_of_a_float_stay_apart() -> None:
    later = np.arange(ROWS) >= ROWS // 2
    write_csv(mixed().assign(y=2**60 + later, code=[10 ** (20 if late else 2) + i % 9 for i, late in enumerate(later)]))
    whole, streamed = run_both()
    assert_same(whole, streamed)
    schema = load_schema(streamed.prepared / "schema.json")
    assert schema.labels == (2**60, 2**60 + 1)
    assert next(len(feature.categories) for feature in schema.features if feature.name == "code") == 18


@pytest.mark.usefixtures("no_report")
@pytest.mark.parametrize("other", ["€6.50", "6.50"])
def test_units_that_differ_between_parts_are_no_units(other: str) -> None:
    write_csv(mixed().assign(price=["$5.50"] * (2 * ROWS // 3) + [other] * (ROWS // 3)), parts=3)
    whole, streamed = run_both()
    assert_same(whole, streamed)
    price = next(
        feature for feature in load_schema(streamed.prepared / "schema.json").features if feature.name == "price"
    )
    assert price.kind == "categorical"


def test_the_number_of_warnings_says_that_they_count_in_a_sample(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    finding = Finding("leakage", (), "")
    monkeypatch.setattr("pipeline.stages.preprocess.write_report", lambda *given: [finding])
    monkeypatch.setattr("pipeline.streaming.parts.REPORTED", 1000)
    monkeypatch.setattr("pipeline.streaming.parts.SAMPLE", 1500)
    write_parquet(mixed())
    run_both()
    whole, streamed = (line for line in capsys.readouterr().out.splitlines() if "describes the data" in line)
    assert whole.endswith("describes the data, 1 warning")
    assert re.search(r"describes the data, 1 warning, counted in a sample of \d{3} train rows$", streamed)


@pytest.mark.usefixtures("no_report")
def test_constants_are_those_of_all_rows_where_bins_are_those_of_a_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.streaming.parts.SAMPLE", 1000)
    monkeypatch.setattr("pipeline.streaming.columns.HEAD", 10)
    frame = mixed().assign(seldom=np.arange(ROWS) % 9)
    frame["seldom"] = frame["seldom"].astype("Int64").mask(np.arange(ROWS) == 2001)
    write_parquet(frame)
    whole, streamed = (load_schema(paths.prepared / "schema.json") for paths in run_both())
    assert whole.sample == streamed.sample
    assert str(whole.sample["seldom"]) == str(streamed.sample["seldom"])
    for expected, found in zip(whole.features, streamed.features, strict=True):
        if isinstance(expected, NumericFeature) and isinstance(found, NumericFeature):
            assert found.quantiles != expected.quantiles or len(expected.quantiles) < 49
            assert found.quantiles[0] >= expected.quantiles[0]
            same = {"quantiles": (), "tree_bins": ()}
            assert found.model_copy(update=same) == expected.model_copy(update=same)
        elif not isinstance(expected, DateFeature):
            assert found == expected


@pytest.mark.usefixtures("no_report")
def test_the_rows_of_a_class_are_train_rows_where_it_would_have_none() -> None:
    frame = mixed()
    frame["y"] = np.where(np.arange(ROWS) < 3, "alone", "usual")
    write_csv(frame)
    known = settings(WHOLE)
    table = read_source(known.source).table
    seeds = (known.preprocess.model_copy(update={"seed": seed}) for seed in range(200))
    without = next(s for s in seeds if "alone" in str(divide(table, known.source, s, by_class=True)[1]))
    whole, streamed = run_both(preprocess=without)
    assert_same(whole, streamed)
    assert "alone" in pq.read_table(streamed.prepared / "train.parquet")[TARGET].to_pylist()


def test_the_test_rows_of_the_source_stay_test_rows_where_train_would_have_none_of_their_class() -> None:
    low, high = 2**60, 2**63
    hashes = np.array([[high, high], [high, low], [high, low], [high, high]], np.uint64)
    classes = pa.array(["usual", "usual", "alone", "alone"]).dictionary_encode()
    shares = Shares(settings(WHOLE).preprocess, np.array([False, False, False, True]), classes)
    assert shares.place(0, hashes).tolist() == [TRAIN, VALIDATION, VALIDATION, TEST]
    assert shares.changed()
    assert shares.place(0, hashes).tolist() == [TRAIN, VALIDATION, TRAIN, TEST]


@pytest.mark.usefixtures("no_report")
def test_a_process_that_is_ended_is_one_message_and_no_file_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.streaming.hashes.ROWS_FOR_PROCESSES", 0)
    monkeypatch.setattr("pipeline.streaming.hashes.cores", lambda: 2)
    ending = partial(ProcessPoolExecutor, mp_context=get_context("spawn"), initializer=os._exit, initargs=(1,))
    monkeypatch.setattr("pipeline.streaming.hashes.processes", ending)
    write_parquet(mixed())
    paths = Paths("mine")
    fetch.run(settings(STREAMED), paths)
    with pytest.raises(UserError, match="a process that reads rows was ended from outside"):
        preprocess.run(settings(STREAMED), paths)
    assert not list(paths.prepared.iterdir())


@pytest.mark.usefixtures("no_report")
def test_an_empty_part_gets_the_group_with_the_lowest_share() -> None:
    frame = mixed()
    frame["group"] = np.arange(ROWS) % 3
    write_csv(frame[["group", "y"]])
    assert_same(*run_both(split=Split(by="group", column="group"), columns={"group": "category"}))


@pytest.mark.usefixtures("no_report")
def test_a_limit_below_a_batch_and_a_split_at_random_are_refused_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write_csv(mixed())
    paths = Paths("mine")
    fetch.run(settings(STREAMED), paths)
    with pytest.raises(UserError, match=r"data\.split by random: expected a table that is read as a whole"):
        preprocess.run(settings(STREAMED, split=Split(by="random")), paths)
    monkeypatch.setattr("pipeline.stages.preprocess.check_stream", check_stream)
    with pytest.raises(
        UserError, match=r"fetch\.memory: expected 0\.00\d GiB or more, which .* take, received 9.* GiB"
    ):
        preprocess.run(settings(1e-6), paths)
    assert not paths.prepared.exists() or not list(paths.prepared.iterdir())


def test_memory_is_that_of_the_container_where_it_has_less(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resources, "CGROUP", tmp_path)
    for name, content in {
        "max": "4000000000",
        "current": "3000000000",
        "stat": "anon 5\ninactive_file 1000000",
    }.items():
        (tmp_path / f"memory.{name}").write_text(content + "\n")
    assert resources.free_memory() == 1_001_000_000
    assert resources.choose("auto", 600_000_000, "fetch.memory").streams
    assert not resources.choose("auto", 500_000_000, "fetch.memory").streams
    assert not resources.choose("auto", 2_000_000_000, "train.memory", is_lasting=True).streams
    choice = resources.choose("auto", 2_000_000_001, "train.memory", is_lasting=True)
    assert not choice.is_clear
    assert resources.choose("auto", 10_000_000, "fetch.memory").is_clear
    assert choice.reason.endswith("more than half of this machine's memory, 1.86 GiB")
    (tmp_path / "memory.max").write_text("max\n")
    assert resources.free_memory() > 1_001_000_000
