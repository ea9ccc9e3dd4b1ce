"""The studies of a storage, listed, written as tables and shown by Optuna's dashboard."""

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import optuna
import pandas as pd
import pytest
import requests

from contracts.errors import UserError
from models.search.study import ABANDONED
from pipeline.commands import __main__ as commands
from pipeline.search import studies
from pipeline.search.candidates import write_trials
from tests.settings_files import copy_settings

ROOT = Path(__file__).parents[2]
NAME = "iris-0123456789"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working copy with parameters and without any study."""
    copy_settings(tmp_path)
    monkeypatch.chdir(tmp_path)
    for name in ("OPTUNA_STORAGE", "DVC_ROOT"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study whose trials ended in every way, with hyperparameters of several types."""
    file = tmp_path_factory.mktemp("studies") / "optuna.db"
    made = optuna.create_study(study_name=NAME, storage=f"sqlite:///{file}")
    for number, (width, value, state) in enumerate(
        [("auto", 0.5, None), (7, 0.25, None), (7, None, "PRUNED"), (7, None, "FAIL"), (7, None, "FAIL"), (7, None, "")]
    ):
        made.enqueue_trial({"width": width})
        trial = made.ask({"width": optuna.distributions.CategoricalDistribution(("auto", 7))})
        trial.set_user_attr("hyperparameters", {"width": width, "layers": [1, 2]})
        if number == 4:
            trial.set_user_attr(ABANDONED, "the time was over")
        if state != "":
            made.tell(trial, value, state=state and optuna.trial.TrialState[state])
    made.set_user_attr("mlflow_run_id", "0a1b2c")
    return file


@pytest.fixture
def study(database: Path, folder: Path) -> optuna.Study:
    """The same in the place where a working copy has it."""
    (folder / "var").mkdir()
    shutil.copy(database, folder / "var")
    return optuna.load_study(study_name=NAME, storage=f"sqlite:///{folder}/var/optuna.db")


def command(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["pipeline.commands", *arguments])
    return commands.main()


def test_a_study_is_listed_with_its_trials_by_state_its_best_value_and_its_run(study, capsys, monkeypatch) -> None:
    assert command(monkeypatch, "studies") == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "iris-" in line]
    name, dataset, *counts, best, day, _, run = line.split()
    assert (name, dataset, counts, best, run) == ("iris-0123456789", "iris", ["2", "1", "1", "1"], "0.25", "0a1b2c")
    assert day == f"{studies.changed(study):%Y-%m-%d}"


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_study_is_written_as_a_table(study, capsys, monkeypatch, ending: str) -> None:
    assert command(monkeypatch, "study-export", "iris", "--study", study.study_name, "--out", f"t.{ending}") == 0
    assert "6 trials of iris-0123456789" in capsys.readouterr().out
    frame = pd.read_csv("t.csv") if ending == "csv" else pd.read_parquet("t.parquet")
    assert frame["state"].tolist() == ["COMPLETE", "COMPLETE", "PRUNED", "FAIL", "FAIL", "RUNNING"]
    assert frame["value"].tolist()[:2] == [0.5, 0.25]
    assert frame["user_attrs_hyperparameters"][1] == '{"width": 7, "layers": [1, 2]}'
    assert set(frame["params_width"].astype(str)) <= {"auto", "7"}


def test_several_objectives_have_a_best_value_and_a_column_each(folder) -> None:
    study = optuna.create_study(directions=["maximize", "minimize"])
    for values in ((0.9, 300.0), (0.8, 100.0)):
        study.tell(study.ask(), values)
    assert studies.best_values(study) == [0.9, 100.0]
    assert studies.table(study)[["values_0", "values_1"]].to_numpy().tolist() == [[0.9, 300], [0.8, 100]]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--out", "t.xlsx"], "OUT: expected a file that ends in .csv or .parquet, received 't.xlsx'"),
        ([], "OUT: expected a file that ends in .csv or .parquet, received none"),
        (["--out", "nowhere/t.csv"], "OUT: expected a file in a folder that exists, received 'nowhere/t.csv'"),
        (["--out", "lost.csv", "--study", NAME], "OUT: expected a file that can be written, received 'lost.csv': No"),
        (["--out", "t.csv"], "data/prepared/iris is missing: name a study"),
        (["--out", "t.csv", "--study", "iris-012345678"], "did you mean 'iris-0123456789'?"),
        (["--out", "t.csv", "--study", "zebra"], "received 'zebra'; `make studies` lists them"),
    ],
)
def test_what_cannot_be_written_is_told_once(study, capsys, monkeypatch, arguments: list[str], told: str) -> None:
    Path("lost.csv").symlink_to("nowhere/t.csv")
    assert command(monkeypatch, "study-export", "iris", *arguments) == 2
    said = capsys.readouterr()
    assert told in said.err
    assert "Traceback" not in said.err
    assert not Path("t.csv").exists()


@pytest.mark.parametrize(
    "arguments", [["studies"], ["dashboard"], ["study-export", "iris", "--study", "x", "--out", "t.csv"]]
)
def test_where_there_are_no_studies_it_is_said_and_none_are_made(folder, capsys, monkeypatch, arguments) -> None:
    assert command(monkeypatch, *arguments) == 2
    assert "optuna.db: run `make repro` first" in capsys.readouterr().err
    assert not list(folder.rglob("*.db"))


def test_a_file_that_is_no_database_is_refused_and_kept(folder, monkeypatch) -> None:
    (folder / "junk.db").write_text("junk")
    monkeypatch.setenv("OPTUNA_STORAGE", f"sqlite:///{folder}/junk.db")
    with pytest.raises(UserError, match=r"junk\.db: expected a database .* not a database"):
        studies.open_storage()
    assert (folder / "junk.db").read_text() == "junk"


def test_the_dashboard_shows_the_studies_on_this_machine_only(study, folder) -> None:
    server = subprocess.Popen(
        [sys.executable, "-m", "pipeline.commands", "dashboard", "--port", "0"],
        env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        address = server.stdout.readline().split()[2]
        assert address.startswith("http://127.0.0.1:")
        assert "Optuna Dashboard" in requests.get(f"{address}/dashboard/", timeout=20).text
        (summary,) = requests.get(f"{address}/api/studies", timeout=20).json()["study_summaries"]
        assert summary["study_name"] == study.study_name
    finally:
        server.terminate()
        assert server.stderr.read() == ""


def test_a_port_that_is_taken_is_told(study, capsys, monkeypatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert command(monkeypatch, "dashboard", "--port", str(port)) == 2
    assert f"port {port}: Address already in use" in capsys.readouterr().err


def test_a_trial_that_never_began_or_was_ended_is_no_trial_of_the_report(study: optuna.Study, folder: Path) -> None:
    study.enqueue_trial({"width": 7})  # a search has three to begin with, and may end before
    plan = SimpleNamespace(search=SimpleNamespace(second_objective="none"), fidelities=(100,))
    write_trials(plan, study, folder / "trials.csv")
    assert pd.read_csv(folder / "trials.csv")["number"].tolist() == [0, 1, 2, 3, 5]
