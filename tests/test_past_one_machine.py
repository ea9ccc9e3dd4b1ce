"""The same search past one machine, for real on this one: a Dask scheduler and workers, a PostgreSQL for the study
and for the runs, an MLflow server. One worker is killed in the middle, another one joins late.
"""

import sys
from collections import Counter
from contextlib import ExitStack

import psutil
import pytest
import requests

from contracts.bundle import open_bundle
from pipeline import resources
from tests.ports import free_port
from tests.projects import COMMANDS, Project
from tests.stage_process import STAGE, Process, Stores

TRIALS = 4


def end(process: Process) -> None:
    for member in [*psutil.Process(process.process.pid).children(recursive=True), process.process]:
        member.kill()
    process.process.wait()


@pytest.mark.timeout(280)
def test_no_trial_is_lost_and_none_counts_twice_where_workers_come_and_go(
    prepared: Project, postgresql, tmp_path_factory: pytest.TempPathFactory
) -> None:
    temporary = tmp_path_factory.mktemp("t")
    ports = {name: free_port() for name in ("mlflow", "scheduler")}
    scheduler, tracking = f"tcp://127.0.0.1:{ports['scheduler']}", f"http://127.0.0.1:{ports['mlflow']}"

    def settings(params: dict) -> None:
        params["search"] |= {"n_trials": TRIALS, "scheduler": scheduler}
        params["train"] |= {"epochs": 41, "patience": 41}  # another study than that of other tests

    prepared.change_params(settings)
    where = {"MLFLOW_TRACKING_URI": tracking, "OPTUNA_STORAGE": postgresql.get_uri("optuna")}
    with ExitStack() as stack:

        def start(name: str, *command: str, **variables: str) -> Process:
            process = Process(prepared, f"{name}.log", *command, **variables)
            stack.callback(lambda: end(process) if process.process.poll() is None else None)
            return process

        server = start(
            "mlflow", sys.executable, "-m", "mlflow", "server", "--port", str(ports["mlflow"]), "--workers", "1",
            "--backend-store-uri", postgresql.get_uri("mlflow"),
            "--artifacts-destination", str(prepared.folder.parent / "artifacts"),
            MLFLOW_SERVER_ENABLE_JOB_EXECUTION="false",
        )  # fmt: skip
        start("scheduler", *COMMANDS, "scheduler", "--port", str(ports["scheduler"]))
        worker = (*COMMANDS, "worker", scheduler, "--trials-at-once", "1")
        first = start("first", *worker)
        server.wait_for("Application startup complete")
        search = start("search", *STAGE, **where, TMPDIR=str(temporary))
        search.wait_for("  trial ", times=1)
        late = start("late", *worker)
        search.wait_for("  trial ", times=2)
        end(first)  # in the middle of the third
        assert search.process.wait(timeout=200) == 0, search.said() + late.said()
        assert list(temporary.iterdir()) == []
        stores = Stores(where["OPTUNA_STORAGE"], tracking)
        assert len(stores.trials()) == TRIALS
        assert Counter(trial.state.name for trial in stores.trials())["FAIL"] == 0
        assert len(stores.counted()) == TRIALS
        stores.check_nothing_runs("FINISHED")
        stores.check_each_is_logged_once()
        trained = [trial for trial in stores.counted().values() if trial.state.name == "COMPLETE"]  # not pruned
        cores = {trial.user_attrs["threads"] for trial in trained}
        assert cores == {resources.cores()}  # a worker gives all of its cores to the one trial that it trains
        (study,) = stores.runs("study")
        best = requests.get(f"{tracking}/api/2.0/mlflow/runs/get", {"run_id": study.data.tags["best.run"]}, timeout=10)
        assert best.json()["run"]["info"]["artifact_uri"].startswith("mlflow-artifacts:/")
        names = {file.path for file in stores.client.list_artifacts(study.data.tags["best.run"], "bundle")}
        assert "bundle/model.onnx" in names
    manifest, _ = open_bundle(prepared.folder / "artifacts/iris/candidates/1")
    assert str(manifest.trial) == study.data.tags["best.trial"]
