"""The benchmark of networks for tables: what it computes from results, and what it refuses."""

import pytest

from bench.quality import LIBRARIES, find_tables, interval, main, summary


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
    tables = find_tables(folder)
    assert list(tables) == ["my_rows", "california_housing", "housing"]
    assert all('"space": "auto"' in entry or "space: auto" in entry for entry in tables.values())
    assert "train:" not in tables["california_housing"]


def test_a_table_that_the_folder_does_not_have_is_refused(folder, capsys) -> None:
    assert main(["--tables", str(folder), "--only", "his_rows"]) == 2
    assert "expected names among my_rows, california_housing, housing, received his_rows" in capsys.readouterr().err
