"""Trials as tasks of a Dask cluster: a scheduler and a worker in this process, each trial in a process of its own."""

import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from distributed import Client, LocalCluster

from contracts.errors import UserError
from models.search.study import finished_trials
from models.search.workers import cluster_code
from models.search.workers.cluster import Cluster
from models.search.workers.events import Done, Failed, Progress, Stopped
from models.training.data import Data, Split
from tests.models.test_pool import follow
from tests.models.test_search import a_task, plan, search
from tests.ports import free_port

ROOT = Path(__file__).parents[2]
AT_ONCE = 2


def workers(**resources: int) -> LocalCluster:
    return LocalCluster(
        n_workers=1, threads_per_worker=AT_ONCE, processes=False, dashboard_address=":0", resources=resources
    )


@pytest.fixture(scope="module")
def scheduler() -> Iterator[str]:
    with workers(**{cluster_code.resource(): AT_ONCE}) as local:
        yield local.scheduler_address


@pytest.fixture(scope="module")
def cluster(scheduler: str) -> Iterator[Cluster]:
    with Cluster(scheduler) as made:
        yield made


def test_it_has_the_room_that_its_workers_offer(cluster: Cluster) -> None:
    assert cluster.room() == AT_ONCE


def test_a_trial_reports_its_epochs_and_brings_its_network(cluster: Cluster, data: Data, tmp_path: Path) -> None:
    cluster.start("job", "train", a_task(data), tmp_path / "new" / "model.keras")
    assert len(cluster) == 1
    reports, end = follow(cluster)
    assert [report.epoch for report in reports] == list(range(6))
    assert isinstance(end, Done)
    assert end.result.value == pytest.approx(min(end.result.history["val_log_loss"]))
    assert end.result.threads == max(1, psutil.cpu_count() // AT_ONCE)
    assert (tmp_path / "new" / "model.keras").stat().st_size > 1000
    assert len(cluster) == 0


def test_the_rows_travel_to_the_worker(cluster: Cluster, data: Data, tmp_path: Path) -> None:
    """As they are when the first trial starts: workers need no file of the machine that searches."""
    travels = Data(tmp_path / "rows", tmp_path / "rows" / "schema.json")
    shutil.copytree(data.folder, travels.folder)
    for name in ("first", "second"):
        cluster.start(name, "train", a_task(travels), tmp_path / f"{name}.keras")
        assert isinstance(follow(cluster)[1], Done)
        shutil.rmtree(travels.folder, ignore_errors=True)


def test_only_the_rows_that_a_trial_trains_on_travel(cluster: Cluster, data: Data, tmp_path: Path) -> None:
    rows = Data(tmp_path / "rows", tmp_path / "rows" / "schema.json")
    shutil.copytree(data.folder, rows.folder, ignore=shutil.ignore_patterns("train.*", "trials"))
    rows.sample(9).save("train", Split(*(None if part is None else part[:9] for part in data.split("train"))))
    (rows.folder / "train.features.npy").mkdir()  # which cannot be read
    cluster.start("job", "train", a_task(rows.sample(9)), tmp_path / "model.keras")
    assert isinstance(follow(cluster)[1], Done)


def full_disk(folder: Path, contents: Path) -> None:
    raise OSError(28, "No space left on device")


def test_a_worker_that_cannot_have_the_rows_ends_the_search_and_fails_no_trial(
    scheduler: str, data: Data, tmp_path: Path
) -> None:
    with Cluster(scheduler, put=lambda files: ("rows", full_disk)) as cluster:
        cluster.start("job", "train", a_task(data), tmp_path / "model.keras")
        with pytest.raises(UserError, match=r"no rows for a trial at the worker .+: \[Errno 28\] No space left"):
            follow(cluster)


def test_a_trial_that_is_told_to_stop_stops(cluster: Cluster, data: Data, tmp_path: Path) -> None:
    cluster.start("job", "train", a_task(data), tmp_path / "model.keras")
    reports, end = follow(cluster, go_on=False)
    assert len(reports) == 1
    assert isinstance(end, Stopped)
    assert not (tmp_path / "model.keras").exists()


def test_a_trial_fails_with_its_reason_and_one_that_hangs_at_its_limit(
    cluster: Cluster, data: Data, tmp_path: Path
) -> None:
    cluster.start("bad", "train", a_task(data, optimizer="sgd", learning_rate=1e30), tmp_path / "bad.keras")
    _, end = follow(cluster)
    assert isinstance(end, Failed)
    assert "try a lower learning rate" in end.reason
    cluster.start("hung", "train", a_task(data), tmp_path / "hung.keras", limit=0.1)
    _, end = follow(cluster)
    assert end == Failed("hung", "it took longer than search.trial_timeout, 0.1 s")


def test_what_runs_is_ended_with_the_search(cluster: Cluster, data: Data, tmp_path: Path) -> None:
    before = set(psutil.Process().children(recursive=True))
    cluster.start("hung", "train", a_task(data), tmp_path / "model.keras")
    while not any(isinstance(event, Progress) for event in cluster.events()):
        pass
    (trial,) = set(psutil.Process().children(recursive=True)) - before
    assert cluster.close() == ["hung"]
    assert len(cluster) == 0
    trial.wait(timeout=3)


def test_a_trial_whose_worker_dies_is_trained_by_one_that_joined_late_and_reports_each_epoch_once(
    data: Data, tmp_path: Path
) -> None:
    """The first worker takes the only copy of the rows with it."""
    with workers(**{cluster_code.resource(): AT_ONCE}) as local, Cluster(local.scheduler_address) as cluster:
        cluster.start("job", "train", a_task(data), tmp_path / "model.keras")
        epochs: list[int] = []
        while len(epochs) < 3:
            for event in cluster.events():
                assert isinstance(event, Progress)
                cluster.answer(event, go_on=True)
                epochs.append(event.epoch)
        local.scale(2)
        cluster.client.wait_for_workers(2)
        local.sync(local.workers[0].close, timeout=1, executor_wait=False)
        reports, end = follow(cluster)
        assert isinstance(end, Done)
        assert [*epochs, *(report.epoch for report in reports)] == list(range(6))


def test_a_study_on_a_cluster_reaches_its_budget(cluster: Cluster, data: Data, tmp_path: Path) -> None:
    study, told = search(cluster, data, f"sqlite:///{tmp_path / 'study.db'}", plan(n_trials=3), workers=AT_ONCE)
    assert len(finished_trials(study)) == len(told) == 3


def test_no_scheduler_at_the_address_is_told_within_seconds() -> None:
    began = time.monotonic()
    with pytest.raises(UserError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:9 .* `make scheduler`"):
        Cluster("tcp://127.0.0.1:9")
    assert time.monotonic() - began < 8


def test_a_scheduler_that_cannot_import_the_project_is_refused(tmp_path: Path) -> None:
    """As `dask scheduler` cannot, wherever it is started."""
    port = free_port()
    command = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", str(port)]
    scheduler = subprocess.Popen([*command, "--no-dashboard"], cwd=tmp_path, stderr=subprocess.DEVNULL)
    try:
        with pytest.raises(UserError, match="cannot import this project: start it with `make scheduler`"):
            Cluster(f"tcp://127.0.0.1:{port}")
    finally:
        scheduler.terminate()
        scheduler.wait()


def test_a_worker_that_was_not_started_by_make_worker_is_refused(capsys: pytest.CaptureFixture) -> None:
    with workers() as local, pytest.raises(UserError, match="no worker"):
        Cluster(local.scheduler_address)
    assert "was not started by `make worker SCHEDULER=" in capsys.readouterr().out


def test_a_worker_with_other_code_or_packages_is_refused_by_their_names(
    capsys: pytest.CaptureFixture, tmp_path: Path
) -> None:
    for package in ("contracts", "models", "pipeline", "serving"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    with (tmp_path / "models/training/fit.py").open("a") as file:
        file.write("# edited")
    (tmp_path / "keras-3.0.0.dist-info").mkdir()
    (tmp_path / "keras-3.0.0.dist-info/METADATA").write_text("Name: keras\nVersion: 3.0.0\n")
    with LocalCluster(n_workers=0, protocol="tcp", dashboard_address=":0") as local:
        command = [
            sys.executable,
            "-m",
            "pipeline.commands",
            "worker",
            local.scheduler_address,
            "--trials-at-once",
            "1",
        ]
        worker = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            with Client(local.scheduler_address, set_as_default=False) as client:
                client.wait_for_workers(1, timeout=60)
            with pytest.raises(UserError, match="no worker"):
                Cluster(local.scheduler_address)
        finally:
            worker.terminate()
            worker.wait()
    said = capsys.readouterr().out
    assert "another version of keras 3.0.0, here " in said
    assert "; models/training/fit.py; check out the same commit there" in said


def test_a_scheduler_that_goes_away_is_told(data: Data, tmp_path: Path) -> None:
    local = workers(**{cluster_code.resource(): AT_ONCE})
    with Cluster(local.scheduler_address) as cluster:
        cluster.start("job", "train", a_task(data), tmp_path / "model.keras")
        local.close()
        with pytest.raises(UserError, match="is gone: start it and its workers again"):
            follow(cluster)
