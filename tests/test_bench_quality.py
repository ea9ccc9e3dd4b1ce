"""The benchmark of networks for tables: what it computes from results, and what it refuses."""

import json
import time
from pathlib import Path

import numpy as np
import pytest

from bench import quality, quality_tuned
from bench.peers import answers
from bench.peers import quality_tuned as peer
from bench.quality import LIBRARIES, find_tables, main
from bench.quality_summary import interval, summary
from contracts.settings.load import load_params

PARTS = ("train", "validation", "test")


def results(ours: float, table: str = "a") -> dict:
    errors = dict(zip((*LIBRARIES, "ours"), (0.3, 0.25, 0.2, 0.4, ours), strict=True))
    return {f"{table}, split 1": {who: {"error": error, "train_seconds": 7.0} for who, error in errors.items()}}


def test_a_table_is_compared_with_the_best_library_and_the_tables_by_their_geometric_mean() -> None:
    lines = summary(results(0.4) | results(0.1, "b")).splitlines()
    assert lines[1].startswith("a | 1 | 0.3 | 0.25 | 0.2 | 0.4 | 0.4 | 2.000 | 7")
    assert lines[3].startswith("geometric mean over 2 tables: 1.000 (0.500-2.000)")


def test_a_split_that_lacks_a_competitor_does_not_count() -> None:
    unfinished = results(0.4)
    del unfinished["a, split 1"]["catboost"]
    assert summary(unfinished).count("\n") == 0


def test_another_competitor_is_shown_where_it_was_measured_and_the_ratio_leaves_it_out() -> None:
    two = results(0.4) | {"a, split 2": results(0.4)["a, split 1"]}
    two["a, split 1"]["tabm"] = {"error": 0.1, "train_seconds": 90.0}
    line = summary(two).splitlines()[1]
    assert line.startswith("a | 2 | 0.3 | 0.25 | 0.2 | 0.4 | 0.4 | 2.000 | 7")
    assert line.endswith("tabm 0.1 (90 s, splits: 1): 4.000")


def test_the_interval_holds_the_mean_and_is_a_point_where_all_tables_agree() -> None:
    assert interval([1.1, 1.1, 1.1]) == pytest.approx((1.1, 1.1))
    low, high = interval([0.9, 1.0, 1.2])
    assert low < (0.9 * 1.2) ** (1 / 3) < high


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "README.md").write_text("| file | target |\n|---|---|\n| My Rows.csv | y (0/1) |\n")
    (tmp_path / "My Rows.csv").write_text("x,y\n1,0\n")
    return tmp_path


def test_every_table_is_searched_as_add_data_says(folder) -> None:
    tables = find_tables(str(folder))
    assert list(tables) == ["my_rows", "california_housing", "housing"]
    assert all('"space": "auto"' in entry or "space: auto" in entry for entry in tables.values())
    assert "train:" not in tables["california_housing"]


def test_a_table_that_the_folder_does_not_have_is_refused(folder, capsys) -> None:
    assert main(["--tables", str(folder), "--only", "his_rows"]) == 2
    assert "expected names among my_rows, california_housing, housing, received his_rows" in capsys.readouterr().err


@pytest.mark.parametrize("seconds", ["0", "-5", "1.5", "six"])
def test_a_budget_that_is_no_number_of_seconds_is_refused(folder, capsys, seconds) -> None:
    assert quality_tuned.main(["--tables", str(folder), f"--seconds={seconds}"]) == 2
    assert f"--seconds: expected a whole number from 1 on, received {seconds}" in capsys.readouterr().err


@pytest.mark.parametrize("table", ["my_rows", "housing"])
def test_a_tuned_search_has_the_budget_and_the_split_of_the_others(folder, tmp_path, table) -> None:
    entry = quality_tuned.with_budget(find_tables(str(folder))[table], 360)
    (tmp_path / "catalog").mkdir()
    (tmp_path / "catalog" / f"{table}.yaml").write_text(entry)
    for file in ("params.yaml", "spaces.yaml"):
        settings = Path(file).read_text()
        (tmp_path / file).write_text(settings.replace("- iris\n- digits\n- diabetes", f"- {table}"))
    params = load_params(tmp_path / "params.yaml", table)
    assert (params.search.n_trials, params.search.timeout, params.preprocess.seed) == (None, 360, 1)
    assert params.search.space["family"] == "ensemble"


def test_tuned_results_of_other_seconds_are_measured_anew(folder, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(quality, "RESULTS", tmp_path / "quality.json")
    monkeypatch.setattr(quality_tuned, "RESULTS", tmp_path / "quality.json")
    monkeypatch.setattr(quality, "prepare", lambda *_: quality.Split(None, None, None, {"test": (0, 0)}, 1))
    monkeypatch.setattr(quality, "error_of", lambda *_: next(errors))
    found = {"predictions": None, "train_seconds": 7.0}
    monkeypatch.setattr(quality_tuned, "of_trees", lambda *_: dict(found))
    monkeypatch.setattr(quality_tuned, "of_search", lambda *_: dict(found))
    asked = ["--tables", str(folder), "--only", "my_rows", "--seconds"]
    errors = iter([0.4, 0.2, 0.1, 0.4, 0.2, 0.3])
    assert [quality_tuned.main([*asked, seconds]) for seconds in ("20", "360", "20")] == [0, 0, 0]
    assert list(errors) == []
    lines = capsys.readouterr().out.splitlines()
    means = [line for line in lines if line.startswith("my_rows | ")]
    assert [line.split(" | ")[5] for line in means] == ["0.500", "1.500", "0.500"]


def test_tuned_trees_are_the_best_of_their_trials_on_validation_rows(tmp_path, monkeypatch, capsys) -> None:
    tried = []

    def library(rows, seed, callbacks, **settings):
        tried.append(settings["num_leaves"])
        return lambda values: np.full(len(values), float(settings["num_leaves"]))

    monkeypatch.setitem(peer.LIBRARIES, "lightgbm", library)
    rows, out = tmp_path / "rows.npz", tmp_path / "out.npy"
    arrays = {f"{part}_{what}": np.full((2, 1) if what == "x" else 2, 500.0) for part in PARTS for what in "xy"}
    np.savez(rows, categorical=[False], **arrays)
    peer.main("lightgbm", "0", str(rows), str(out), "rmse", "1")
    found = json.loads(capsys.readouterr().out)
    assert tried[0] == 31, "the library's default is the first"
    assert 5 < found["trials"] <= len(tried)
    best = min(tried[: found["trials"]], key=lambda leaves: abs(leaves - 500))
    assert found["validation"] == abs(best - 500)
    assert list(np.load(out)) == [best, best]


def test_a_training_that_runs_when_the_time_is_over_does_not_count(tmp_path, monkeypatch) -> None:
    def library(rows, seed, callbacks, **settings):
        while callbacks[0].after_iteration(None):
            pass
        return lambda values: values[:, 0]

    monkeypatch.setitem(peer.LIBRARIES, "catboost", library)
    arrays = {f"{part}_{what}": np.zeros((2, 1) if what == "x" else 2) for part in PARTS for what in "xy"}
    np.savez(tmp_path / "rows.npz", categorical=[False], **arrays)
    with pytest.raises(SystemExit, match=r"no training ended within 0\.2 s"):
        peer.main("catboost", "0", str(tmp_path / "rows.npz"), str(tmp_path / "out.npy"), "rmse", "0.2")


def test_all_trees_answer_whole_calls_for_the_seconds_that_are_asked_for(tmp_path, monkeypatch, capsys) -> None:
    given, calls = [], []

    def library(rows, seed):
        given.append(rows)
        return lambda values: calls.append(len(values))

    monkeypatch.setitem(answers.LIBRARIES, "xgboost", library)
    monkeypatch.setattr("sys.stdin", ["0.05\n", "0.1\n"])
    arrays = {f"{part}_{what}": np.arange(6.0).reshape(6, -1) for part in PARTS for what in "xy"}
    np.savez(tmp_path / "rows.npz", categorical=[False], **arrays)
    began = time.perf_counter()
    answers.main("xgboost", str(tmp_path / "rows.npz"))
    seconds = time.perf_counter() - began
    ready, *rates = capsys.readouterr().out.splitlines()
    assert ready == "ready"
    assert given[0].train is given[0].held_out, "else early stopping makes trees fewer"
    assert set(calls) == {10_000}
    assert float(rates[0]) * 0.05 + float(rates[1]) * 0.1 == pytest.approx(10_000 * (len(calls) - 1), rel=0.2)
    assert 0.15 <= seconds < 5
