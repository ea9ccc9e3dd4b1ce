"""Trials that read their rows from a store: a scheduler and workers as processes, and an S3 server, all on loopback."""

import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import boto3
import psutil
import pytest

from contracts.errors import UserError
from contracts.files import sha256
from models.search.workers import cluster_task
from models.search.workers.cluster import Cluster
from models.search.workers.events import Done, Progress
from models.training.data import Data
from pipeline.paths import Paths
from pipeline.sources.store import Store
from pipeline.stages import train
from tests.faulty_store import FaultyStore, s3_server
from tests.models.test_cluster import ROOT
from tests.models.test_pool import follow
from tests.models.test_search import a_task
from tests.ports import free_port

STORE = Store("s3://rows/encoded", timeout=5, attempts=3)
StartWorker = Callable[[], psutil.Process]


@pytest.fixture(scope="module")
def faulty() -> Iterator[FaultyStore]:
    """What workers read from; this process writes to the server behind it."""
    with s3_server("rows") as variables:
        yield FaultyStore(variables["AWS_ENDPOINT_URL"], objects="/encoded/")


@pytest.fixture(scope="module")
def scheduler() -> Iterator[str]:
    port = str(free_port())
    command = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", port]
    process = subprocess.Popen([*command, "--no-dashboard"], cwd=ROOT, stderr=subprocess.DEVNULL)
    yield f"tcp://127.0.0.1:{port}"
    process.terminate()
    process.wait()


@pytest.fixture
def start_worker(scheduler: str, faulty: FaultyStore) -> Iterator[StartWorker]:
    started: list[psutil.Process] = []

    def start() -> psutil.Process:
        command = [sys.executable, "-m", "pipeline.commands", "worker", scheduler, "--trials-at-once", "2"]
        variables = os.environ | {"AWS_ENDPOINT_URL": faulty.address}
        started.append(psutil.Popen(command, cwd=ROOT, env=variables, stderr=subprocess.DEVNULL))
        return started[-1]

    yield start
    for process in started:
        kill(process)


def kill(worker: psutil.Process) -> None:
    if worker.is_running():
        for process in [*worker.children(recursive=True), worker]:
            process.kill()
    worker.wait()


def test_workers_read_each_content_once_from_the_store(
    scheduler: str, start_worker: StartWorker, faulty: FaultyStore, data: Data, tmp_path: Path
) -> None:
    """The store is busy at first; a worker is killed in the middle of a trial; later the store has another content."""
    faulty.fault, faulty.left = "503", 2
    first = start_worker()
    contents = {sha256(path) for path in (data.schema, *data.folder.glob("*.npy"))}
    with Cluster(scheduler, STORE.put) as cluster:
        cluster.client.wait_for_workers(1, timeout=60)
        for name in ("one", "two"):
            cluster.start(name, "train", a_task(data), tmp_path / f"{name}.keras")
        for _ in range(2):
            assert isinstance(follow(cluster)[1], Done)
        listed = boto3.client("s3").list_objects_v2(Bucket="rows")["Contents"]
        assert {entry["Key"] for entry in listed} == {f"encoded/{content}" for content in contents}
        assert Counter(faulty.read) == Counter(f"/rows/encoded/{content}" for content in contents)
        cluster.start("three", "train", a_task(data), tmp_path / "three.keras")
        while not any(isinstance(event, Progress) for event in cluster.events()):
            pass
        kill(first)
        start_worker()
        assert isinstance(follow(cluster)[1], Done)
        assert set(Counter(faulty.read).values()) == {2}, "once by each worker"
        changed = Data(tmp_path / "changed", tmp_path / "changed/schema.json")
        shutil.copytree(data.folder, changed.folder, ignore=shutil.ignore_patterns("trials"))
        content = changed.schema.read_text().replace('"d"', '"e"')
        changed.schema.write_text(content)
        key = f"encoded/{sha256(changed.schema)}"
        boto3.client("s3").put_object(Bucket="rows", Key=key, Body=content.replace('"e"', '"f"').encode())
        cluster.start("four", "train", a_task(changed), tmp_path / "four.keras")
        with pytest.raises(
            UserError, match=r"at the worker tcp://.+: expected schema\.json in s3://.+\n .+ other content"
        ):
            follow(cluster)


def test_a_store_that_takes_nothing_is_told_before_anything_starts(folder, load, faulty: FaultyStore) -> None:
    params = load(scheduler="tcp://127.0.0.1:9", storage="s3://nowhere/encoded/")
    refused = (
        r"search\.storage: expected a store that takes schema\.json, received s3://nowhere/encoded\n  .+: not found"
    )
    with pytest.raises(UserError, match=refused):
        train.run(params, Paths("wine", folder))


def test_an_address_is_a_folder_from_the_root_on_or_a_url(load) -> None:
    for storage in ("rows", "s3:/rows", "s3://", "~/rows", "s3://a b/c"):
        with pytest.raises(UserError, match=r"search\.storage: expected null, an address as s3://bucket/folder, or"):
            load(storage=storage)
    assert load(storage="/shared/rows/").search.storage == "/shared/rows"


def test_a_shared_folder_is_a_store_too(data: Data, tmp_path: Path) -> None:
    store, files = Store(str(tmp_path / "shared"), 5, 1), {"a": data.schema, "b": data.schema}
    name, write = store.put(files)
    (content,) = (tmp_path / "shared").iterdir()
    assert content.name == sha256(data.schema)
    written = content.stat().st_mtime_ns
    assert store.put(files)[0] == name != store.put({"c": data.schema})[0]
    assert content.stat().st_mtime_ns == written, "what is there is not copied again"
    content.write_bytes(b"torn")
    store.put(files)
    (tmp_path / "folder").mkdir()
    (tmp_path / "contents").mkdir()
    write(tmp_path / "folder", tmp_path / "contents")
    assert {path.name: path.read_bytes() for path in (tmp_path / "folder").iterdir()} == dict.fromkeys(
        files, data.schema.read_bytes()
    )
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"search\.storage: expected a store that takes a, received .+/file/rows\n  .+"):
        Store(str(tmp_path / "file/rows"), 5, 1).put(files)
    content.unlink()
    (tmp_path / "other").mkdir()
    (tmp_path / "nothing").mkdir()
    with pytest.raises(UserError, match=r"search\.storage: expected a in .+/shared\n  .+: not found"):
        write(tmp_path / "other", tmp_path / "nothing")


def test_the_rows_of_an_earlier_search_leave_the_disk_of_a_worker_unless_a_trial_uses_them(
    data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = SimpleNamespace(local_directory=str(tmp_path / "worker"), address="here")
    (tmp_path / "worker").mkdir()
    monkeypatch.setattr(cluster_task, "get_worker", lambda: worker)
    shared, own = "a" * 64, {"first": "b" * 64, "second": "c" * 64, "third": "d" * 64}

    def unpacked(name: str):
        def write(folder: Path, contents: Path) -> None:
            for digest in (shared, own[name]):
                (contents / digest).touch()
                os.link(contents / digest, folder / digest)

        return cluster_task._unpacked(write, name, data)

    def present() -> set[str]:
        return {path.name for path in (tmp_path / "worker").iterdir()}

    with unpacked("first"):
        with unpacked("second") as rows:
            assert (rows.folder / shared).exists()
        assert present() == {"first", "second", shared, own["first"], own["second"]}
        with unpacked("third"):
            assert present() == {"first", "third", shared, own["first"], own["third"]}
    with unpacked("first"):
        assert present() == {"first", "third", shared, own["first"], own["third"]}, "nothing was written anew"
