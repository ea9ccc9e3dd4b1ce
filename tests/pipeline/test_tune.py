"""`make tune`: which budget a search gets, and what is said where that is none."""

from pathlib import Path

import pytest
import typer

from contracts.errors import UserError
from contracts.settings.load import load_params
from pipeline.commands import repro
from pipeline.commands.repro import budget
from tests.settings_files import copy_settings

SEARCH = load_params(Path(__file__).parents[2] / "params.yaml", "iris").search


def test_the_limit_that_is_left_out_is_removed() -> None:
    by_trials, by_time = SEARCH, SEARCH.model_copy(update={"n_trials": None, "timeout": 60.0})
    assert budget("iris", "50", None, by_trials) == {"n_trials": 50}
    assert budget("iris", None, "600", by_trials) == {"n_trials": None, "timeout": 600}
    assert budget("iris", "50", None, by_time) == {"n_trials": 50, "timeout": None}
    assert budget("iris", "50", "0.5", by_time) == {"n_trials": 50, "timeout": 0.5}


@pytest.mark.parametrize(
    "trials", ["0", "many", "-1", "1.5", "", "7 8", "1000001", pytest.param("9" * 5000, id="huge")]
)
def test_trials_that_are_no_number_of_trials_are_refused(trials: str) -> None:
    with pytest.raises(UserError, match=f"^TRIALS: expected .*received '{trials}': make tune DATASET=iris TRIALS=50"):
        budget("iris", trials, None, SEARCH)


@pytest.mark.parametrize("timeout", ["0", "10m", "-1", "nan", "inf", "", "1e9"])
def test_a_time_that_is_no_number_of_seconds_is_refused(timeout: str) -> None:
    with pytest.raises(UserError, match=f"^TIMEOUT: expected .*received '{timeout}': make tune .* TIMEOUT=600"):
        budget("iris", None, timeout, SEARCH)


def test_no_budget_is_told_with_an_example_of_each() -> None:
    with pytest.raises(UserError, match=r"now 12 trials, any number of s.*TRIALS=50 or .*TIMEOUT=600"):
        budget("iris", None, None, SEARCH)


@pytest.mark.parametrize("is_prepared", [True, False])
def test_prepared_rows_stay_prepared_when_only_the_budget_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_prepared: bool
) -> None:
    copy_settings(tmp_path)
    monkeypatch.chdir(tmp_path)
    asked: list[tuple[str, bool]] = []

    def dvc(datasets: list[str], command: str, *arguments: str) -> int:
        asked.append((command, "n_trials: 50" in Path("catalog/iris.yaml").read_text()))
        assert command == "repro" or arguments[-1] == "preprocess@iris"
        return 0 if is_prepared and command != "repro" else 1

    monkeypatch.setattr(repro, "run_dvc", dvc)
    with pytest.raises(typer.Exit):
        repro.tune("iris", "50", None)
    assert asked == [("status", False), *([("commit", True)] if is_prepared else []), ("repro", True)]
