"""Trials as tasks of a Dask cluster: a scheduler and a worker in this process, each trial in a process of its own."""

import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from distributed import LocalCluster

from contracts.errors import UserError
from models.search.study import finished_trials
from models.search.workers import cluster_worker
from models.search.workers.cluster import Cluster
from models.search.workers.events import Done, Failed, Progress, Stopped
from models.training.data import Data
from tests.models.test_pool import follow
from tests.models.test_search import a_task, params, search

AT_ONCE = 2


def workers(**resources: int) -> LocalCluster:
    return LocalCluster(
        n_workers=1, threads_per_worker=AT_ONCE, processes=False, dashboard_address=None, resources=resources
    )


@pytest.fixture(scope="module")
def scheduler() -> Iterator[str]:
    with workers(**{cluster_worker.resource(): AT_ONCE}) as local:
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


def test_a_worker_that_does_not_see_the_rows_is_sent_them(
    cluster: Cluster, data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster_worker, "_sees", lambda data, digest: False)
    cluster.start("job", "train", a_task(data), tmp_path / "model.keras")
    assert isinstance(follow(cluster)[1], Done)
    digest = cluster_worker.digest_of(data)
    (folder,) = cluster.client.run(lambda dask_worker: dask_worker.local_directory).values()
    copy = Path(folder) / f"rows-{digest}"
    assert cluster_worker.digest_of(Data(copy, copy / "schema.json")) == digest


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


def test_a_study_on_a_cluster_reaches_its_budget(cluster: Cluster, data: Data, tmp_path: Path) -> None:
    study, told = search(cluster, data, f"sqlite:///{tmp_path / 'study.db'}", params(n_trials=3), workers=AT_ONCE)
    assert len(finished_trials(study)) == len(told) == 3


def test_no_scheduler_at_the_address_is_told_within_seconds() -> None:
    began = time.monotonic()
    with pytest.raises(UserError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:9 .* `make scheduler`"):
        Cluster("tcp://127.0.0.1:9")
    assert time.monotonic() - began < 8


def test_a_worker_with_other_code_is_refused(capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    with workers() as local:
        with pytest.raises(UserError, match="no worker"):
            Cluster(local.scheduler_address)
        assert "was not started by `make worker SCHEDULER=" in capsys.readouterr().out
        theirs = {**cluster_worker.code(), "models/training/fit.py": "edited", "keras": "3.0.0"}
        monkeypatch.setattr(Cluster, "_code_of", lambda self, worker: theirs)
        with pytest.raises(UserError, match="no worker"):
            Cluster(local.scheduler_address)
        said = capsys.readouterr().out
        assert "another version of keras" in said
        assert "models/training/fit.py" in said
        assert "same commit" in said


def test_a_scheduler_that_goes_away_is_told(data: Data, tmp_path: Path) -> None:
    local = workers(**{cluster_worker.resource(): AT_ONCE})
    with Cluster(local.scheduler_address) as cluster:
        cluster.start("job", "train", a_task(data), tmp_path / "model.keras")
        local.close()
        with pytest.raises(UserError, match="is gone: start it and its workers again"):
            follow(cluster)
