"""One dataset more, DVC's own commands (experiments, queue, comparison), and what is built on them."""

import json
import sys
import time

import pytest

from contracts.settings.load import load_params
from pipeline.stages.__main__ import STAGES
from serving.predictor import Predictor
from tests.conftest import SETTINGS
from tests.project_files import contents, of_dataset, stages_in_lock
from tests.projects import COMMANDS
from tests.stage_process import Process

HEAVY = {
    "tensorflow", "keras", "mlflow", "optuna", "sklearn", "pandas", "pyarrow", "bentoml", "onnxruntime", "matplotlib",
    "dvc", "tf2onnx", "onnx", "starlette", "distributed", "aiohttp",
}  # fmt: skip
MAY_LOAD = {
    "fetch": {"pandas", "pyarrow", "sklearn"},
    "preprocess": {"pandas", "pyarrow", "sklearn"},
    # TensorFlow is imported by the processes that train, not by this one.
    "train": {"pandas", "pyarrow", "sklearn", "optuna", "mlflow", "matplotlib", "onnxruntime", "starlette"},
    "select": {"pandas", "pyarrow", "mlflow", "onnxruntime", "starlette"},
    "evaluate": {"pandas", "pyarrow", "mlflow", "onnxruntime", "matplotlib", "starlette"},
    "package": {"bentoml", "onnxruntime", "starlette"},
}


def trials(project) -> int:
    table = project.folder / "artifacts/iris/candidates/trials.csv"
    return len(table.read_text().splitlines()) - 1


def ran(output: str) -> set[str]:
    """The stages that a run of DVC has executed."""
    lines = [line for line in output.splitlines() if line.startswith("Running stage")]
    return {line.split("'")[1].partition("@")[0] for line in lines}


@pytest.fixture(scope="module")
def experiment(project, titanic):
    """The study taken a trial further by `dvc exp run -S`, in a clone whose dvc.lock is not committed."""
    return project.run("dvc", "exp", "run", "-S", "search.n_trials=4")


def test_one_dataset_more_runs_alone_and_is_summarised(project, titanic) -> None:
    ran = titanic.ran
    assert {line.split("'")[1] for line in ran.stdout.splitlines() if line.startswith("Running stage")} == {
        f"{stage}@titanic" for stage in ("fetch", "preprocess", "train", "select", "evaluate", "package")
    }
    assert (project.folder / "artifacts/titanic/titanic.bento").exists()
    assert "make predict DATASET=titanic" in ran.stdout
    assert " iris " not in ran.stdout
    for chatter in ("No file hash info", "WARNING", "Warning", "ERROR"):
        assert chatter not in ran.stdout + ran.stderr


def test_one_dataset_more_leaves_settings_and_other_datasets_as_they_were(project, titanic) -> None:
    settings = contents(project.folder, *SETTINGS)
    del settings["catalog/titanic.yaml"]
    assert settings == titanic.settings
    assert of_dataset(project.folder, "iris") == titanic.iris
    assert len(titanic.iris) > 20
    assert stages_in_lock(project.folder, "iris") == titanic.iris_stages
    Predictor(project.folder / "artifacts/iris/bundle")  # checks every hash
    assert "up to date" in project.run("dvc", "repro").stdout


def test_an_experiment_leaves_a_dataset_that_is_not_listed(project, titanic, experiment) -> None:
    assert len(stages_in_lock(project.folder, "titanic")) == 6
    Predictor(project.folder / "artifacts/titanic/bundle")
    kept = (
        "artifacts/titanic/titanic.bento",
        "metrics/titanic.json",
        "data/raw/titanic/data.parquet",
        "plots/titanic/model",
    )
    for name in kept:
        assert (project.folder / name).exists(), name


def test_a_dataset_that_does_not_exist_changes_nothing(project, titanic) -> None:
    everything = ("*", "catalog/*", "artifacts/**/*", "metrics/*")
    files = contents(project.folder, *everything)
    done = project.run_here("repro", "titanic", "irs")
    assert done.returncode == 2
    assert done.stderr.startswith("repro: expected a dataset of catalog/ (")
    assert done.stderr.endswith("received 'irs'; did you mean 'iris'?\n")
    assert done.stdout == ""
    assert contents(project.folder, *everything) == files


def test_more_trials_rerun_training_and_what_follows_only(project, experiment) -> None:
    assert "fetch" not in ran(experiment.stdout)
    assert "preprocess" not in ran(experiment.stdout)
    assert "train" in ran(experiment.stdout)


def test_more_trials_continue_the_study(project, experiment) -> None:
    assert "continuing a study with 3 finished trials" in experiment.stdout
    assert "trial 4/4" in experiment.stdout
    assert trials(project) == 4


def test_experiments_and_metrics_can_be_compared(project, experiment) -> None:
    shown = json.loads(project.run("dvc", "exp", "show", "--json").stdout)
    assert len(shown[-1]["experiments"] or []) >= 1
    difference = json.loads(project.run("dvc", "metrics", "diff", "--json").stdout)
    assert "test.accuracy" in json.dumps(difference) or "accuracy" in json.dumps(difference)


def test_plots_can_be_shown(project, experiment) -> None:
    project.run("dvc", "plots", "show", "-o", "shown")
    pictures = {path.name for path in (project.folder / "shown/static").iterdir()}
    assert len([name for name in pictures if name.endswith(".png")]) == 7


def test_one_target_runs_alone(project, experiment) -> None:
    assert "up to date" in project.run("dvc", "repro", "train@iris").stdout


def test_a_queued_run_lands_in_the_main_store(project, experiment) -> None:
    import mlflow

    client = mlflow.MlflowClient(f"sqlite:///{project.folder / 'var/mlflow.db'}")
    experiment_id = client.get_experiment_by_name("iris").experiment_id

    def runs() -> int:
        return len(client.search_runs([experiment_id]))

    before = runs()
    project.run("dvc", "exp", "run", "--queue", "-S", "search.n_trials=5", "train@iris")
    # Not through pipes: the worker inherits them, and lives for minutes after its last task.
    Process(project, "queue.log", "dvc", "queue", "start").process.wait(60)
    status = ""
    deadline = time.monotonic() + 150
    while runs() == before and time.monotonic() < deadline:  # each status takes DVC a second of work
        time.sleep(1)
    for _ in range(60):
        time.sleep(3)
        status = project.run("dvc", "queue", "status").stdout
        if "Success" in status or "Failed" in status:
            break
    assert "Success" in status, project.run("dvc", "queue", "logs", status.split()[5], check=False).stdout
    assert runs() == before + 1
    assert trials(project) == 4, "the workspace is left as it was"
    project.run("dvc", "queue", "stop", "--kill", check=False)


def test_an_older_version_is_restored_by_one_command(project, experiment) -> None:
    """A second, equal registration stands for a better one, which few trials may not find."""
    import mlflow

    mlflow.set_tracking_uri(f"sqlite:///{project.folder / 'var/mlflow.db'}")
    client = mlflow.MlflowClient()
    first = client.get_model_version("iris", "1")
    newest = client.create_model_version("iris", first.source, first.run_id, model_id=first.model_id).version
    client.set_registered_model_alias("iris", "champion", newest)

    said = project.run(*COMMANDS, "promote", "iris", "1", "--note", "it was better").stdout
    assert f"Version 1 of iris is the champion (before: {newest}), approved by tests <tests@localhost>: it" in said
    assert "tests <tests@localhost>: it was better" in project.run_here("lineage", "iris").stdout
    assert client.get_model_version_by_alias("iris", "champion").version in {1, "1"}
    selection = json.loads((project.folder / "artifacts/iris/selection.json").read_text())
    assert (selection["winner"], selection["version"]) == ("version 1", "1")
    assert "up to date" in project.run("dvc", "repro").stdout, "nothing undoes it"


def test_a_version_that_does_not_exist_is_told_with_those_that_do(project, experiment) -> None:
    done = project.run_here("promote", "iris", "77")
    assert done.returncode == 2
    assert "expected a version of iris, one of: 1" in done.stderr


def test_the_winner_trained_again_gives_the_same_figure(project, experiment) -> None:
    assert "the same" in project.run(*COMMANDS, "retrain", "iris", "1").stdout
    done = project.run_here("retrain", "iris", "77")
    assert done.returncode == 2
    assert "expected a version of iris, one of: 1" in done.stderr


def test_tune_continues_the_study_and_runs_the_stages_after_it(project, experiment) -> None:
    command = (*COMMANDS, "tune", "iris", "--trials", "6", "--timeout", "600")
    titanic, params = of_dataset(project.folder, "titanic"), (project.folder / "params.yaml").read_bytes()
    entry = (project.folder / "catalog/iris.yaml").read_text()
    first = Process(project, "first.log", *command)
    first.wait_for("In catalog/iris.yaml, search.n_trials is 6 and search.timeout is 600 from now on.")
    second = project.run(*command)  # which would change what the first one reads
    assert f"this working copy is in use by process {first.process.pid}; waiting for it to end" in second.stdout
    assert first.process.wait(10) == 0, first.said()
    assert "trial 6/6" in first.said()
    assert "trial 7" not in second.stdout
    search = load_params(project.folder / "params.yaml", "iris").search
    assert (search.n_trials, search.timeout) == (6, 600)
    assert (project.folder / "catalog/iris.yaml").read_text() == entry + "search:\n  n_trials: 6\n  timeout: 600\n"
    assert (project.folder / "params.yaml").read_bytes() == params
    assert of_dataset(project.folder, "titanic") == titanic
    assert (project.folder / "artifacts/iris/iris.bento").exists()


def test_a_stage_that_is_started_loads_only_what_its_work_needs(project, experiment) -> None:
    """`dvc exp run` starts each stage; `make repro` the first one and `package`, and forks the others."""
    project.run(sys.executable, "-m", "pipeline.stages", "preprocess", "--dataset", "iris")
    loaded = {stage: set((project.loaded / stage).read_text().split()) for stage in STAGES}
    assert {stage: names & HEAVY for stage, names in loaded.items() if not names & HEAVY <= MAY_LOAD[stage]} == {}
    # The rule would be empty if nothing were noted.
    assert {"optuna", "mlflow"} <= loaded["train"]
    assert {"mlflow", "onnxruntime"} <= loaded["select"]


@pytest.mark.parametrize("command", ["stages", "commands"])
def test_a_mistake_in_params_ends_a_stage_and_a_run_without_a_stack_trace(project, command: str) -> None:
    path = project.folder / "params.yaml"
    text = path.read_text()
    arguments = ("train", "--dataset", "iris") if command == "stages" else ("repro",)
    try:
        path.write_text(text.replace("  patience:", "  patiense:"))
        done = project.run("python", "-m", f"pipeline.{command}", *arguments, check=False)
    finally:
        path.write_text(text)
    assert done.returncode == 2
    assert done.stdout == "", "nothing was run"
    assert (
        "params.yaml: train.patiense: expected a known key, received 'patiense'; did you mean 'patience'?"
        in done.stderr
    )
    assert "Traceback" not in done.stderr
