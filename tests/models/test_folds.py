"""Folds of the train rows, and trials that train one network on each."""

import json
import shutil
import statistics
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from contracts.schema import load_schema
from contracts.settings.load import Params
from models.search.trial import TrialTask
from models.search.workers.events import Done, Progress
from models.search.workers.pool import Pool
from models.training.data import Data
from pipeline.data.folds import write_folds
from pipeline.data.schema_inference import infer_schema
from pipeline.data.training_data import write_training_data
from pipeline.paths import Paths
from tests.models.instant import plan_of


def fold(params: Params, folder: Path, data: Data) -> None:
    train = Paths("wine", folder).prepared / "train.parquet"
    write_folds(data, train, params.source, params.bins_for(0), params.search.folds, params.search.seed)


def followed(pool: Pool, function: str, task: TrialTask, save_to: Path) -> tuple[list[tuple[int, float]], Done]:
    """What a job reports, always told to go on, and its end."""
    pool.start("job", function, task, save_to)
    reports: list[tuple[int, float]] = []
    while True:
        for event in pool.events():
            if not isinstance(event, Progress):
                assert isinstance(event, Done)
                return reports, event
            reports.append((event.epoch, event.value))
            pool.answer(event, go_on=True)


def test_each_train_row_is_held_out_once_and_constants_are_those_of_the_others(folder, load, tmp_path) -> None:
    data = write_training_data(Paths("wine", folder), tmp_path)
    fold(load(folds=3), folder, data)
    whole, parts = data.split("train"), [data.fold(number) for number in range(3)]
    assert np.sum([np.load(part.held_out) for part in parts], axis=0).tolist() == [1] * len(whole.target)
    for part in parts:
        train, held_out = part.split("train"), part.split("validation")
        assert len(train.target) + len(held_out.target) == len(whole.target)
        shares = [np.bincount(split.target) / len(split.target) for split in (held_out, whole)]
        np.testing.assert_allclose(*shares, atol=0.05)
        first = load_schema(part.schema).features[0]
        assert first.mean == pytest.approx(train.features[:, 0].mean(), rel=1e-5)
        assert first.mean != load_schema(data.schema).features[0].mean


def test_a_column_without_values_in_a_fold_keeps_what_is_known_of_it(folder: Path, load, tmp_path: Path) -> None:
    paths = Paths("wine", tmp_path / "sparse")
    shutil.copytree(Paths("wine", folder).prepared, paths.prepared)
    train = pq.read_table(paths.prepared / "train.parquet")
    name = train.column_names[0]
    sparse = pa.array([1.5, 2.5] + [None] * (len(train) - 2))
    train = train.set_column(0, name, sparse)
    pq.write_table(train, paths.prepared / "train.parquet")
    schema = infer_schema("wine", load().source.model_copy(update={"task": "multiclass"}), train, "md5")
    schema.save(paths.prepared / "schema.json")
    (tmp_path / "data").mkdir()
    data = write_training_data(paths, tmp_path / "data")
    for seed in range(20):
        write_folds(data, paths.prepared / "train.parquet", load().source, 0, 2, seed)
        medians = [load_schema(data.fold(number).schema).features[0].median for number in range(2)]
        if 2.0 in medians and len(set(medians)) == 1:  # one fold has both values, the other keeps those of all rows
            return
    raise AssertionError("no seed put both values into one fold")


@pytest.mark.parametrize("reports_mean", [True, False])
def test_a_trial_of_folds_reports_each_and_is_worth_their_mean(pool, folder, load, tmp_path, reports_mean) -> None:
    params, data = load(folds=3), write_training_data(Paths("wine", folder), tmp_path)
    fold(params, folder, data)
    task = replace(
        plan_of(params).trial_task(data, dict(params.search.space) | {"width": 8}, 1), reports_mean=reports_mean
    )
    reports, end = followed(pool, task.function, task, tmp_path / "model.keras")
    values = end.result.values_of_folds
    assert len(set(values)) == 3
    assert end.result.value == pytest.approx(statistics.fmean(values))
    told = [statistics.fmean(values[: n + 1]) if reports_mean else values[n] for n in range(3)]
    assert reports == [(n, pytest.approx(value)) for n, value in enumerate(told)]
    assert not (tmp_path / "model.keras").exists()


def test_a_trial_of_folds_goes_on_after_the_last_whole_fold(pool, folder, load, tmp_path) -> None:
    params, data = load(folds=3), write_training_data(Paths("wine", folder), tmp_path)
    fold(params, folder, data)
    task = plan_of(params).trial_task(data, dict(params.search.space) | {"width": 8}, 1)
    _, undisturbed = followed(pool, "train_folds", task, tmp_path / "model.keras")
    task = replace(task, checkpoint=tmp_path / "checkpoint")
    pool.start("job", "train_folds", task, tmp_path / "model.keras")
    while not (reports := [event for event in pool.events() if isinstance(event, Progress)]):
        pass
    assert pool.close() == ["job"], "its process is killed while it waits for the answer"
    kept = tmp_path / "checkpoint_folds.json"
    assert [value for value, _ in json.loads(kept.read_text())] == [reports[0].value]
    assert reports[0].value == undisturbed.result.values_of_folds[0]
    kept.write_text(json.dumps([(0.125, 2)]))  # what is told below comes from here, not from training
    told, end = followed(pool, "train_folds", task, tmp_path / "model.keras")
    assert told[0] == (0, 0.125)
    assert end.result.values_of_folds == (0.125, *undisturbed.result.values_of_folds[1:])
    assert not kept.exists()
