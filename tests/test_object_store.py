"""Data from an object store, and DVC's outputs in one: a real S3 protocol over HTTP, on loopback."""

import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from contracts.errors import UserError
from contracts.settings.load import Fetch, Source
from pipeline.sources.download import fetch_file
from pipeline.sources.own_table import read_source
from pipeline.sources.readers import load_raw
from pipeline.sources.streaming.local_files import local_files
from tests.faulty_store import FAULTS, FaultyStore, s3_server
from tests.projects import Project

CONTENT = b"hours,degree,wage\n" + b"".join(b"%d,%d,%d\n" % (n, n % 3, 10 * n) for n in range(30_000))
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(scope="module")
def store() -> Iterator[dict[str, str]]:
    """A store with `wages.csv` in the bucket `data`; the variables that lead there."""
    with s3_server("data") as variables:
        client = boto3.client("s3")
        client.put_object(Bucket="data", Key="wages.csv", Body=CONTENT)
        client.put_object(Bucket="data", Key="mirror/wages/wages.csv", Body=CONTENT)
        yield variables


def fetched(folder: Path, *sources: str) -> Path:
    return fetch_file("wages.csv", SHA256, folder / "wages.csv", list(sources), timeout=5, attempts=1)


def test_a_file_comes_from_the_first_address_that_has_it(store: Any, tmp_path: Path) -> None:
    target = fetched(tmp_path, "s3://data/other.csv", "s3://data/wages.csv")
    assert target.read_bytes() == CONTENT
    assert [path.name for path in tmp_path.iterdir()] == ["wages.csv"]


def test_a_dataset_of_ones_own_is_read_from_an_address_or_a_mirror(store: Any, tmp_path: Path, monkeypatch) -> None:
    source = Source(
        source="csv", task="regression", target="wage", addresses=("s3://data/{file}",), files={"wages.csv": SHA256}
    )
    fetch = Fetch(timeout=5.0, attempts=1)
    assert load_raw("wages", source, fetch, tmp_path / "1").num_rows == 30_000
    monkeypatch.setenv("DATA_MIRROR", "s3://data/mirror")
    nowhere = source.model_copy(update={"addresses": ("s3://nowhere/{file}",)})
    assert load_raw("wages", nowhere, fetch, tmp_path / "2").num_rows == 30_000


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("s3://data/other.csv", "s3://data/other.csv: not found"),
        ("s3://nowhere/wages.csv", "s3://nowhere/wages.csv: not found"),
        ("gs://data/wages.csv", "gs://data/wages.csv: .*gcsfs.*uv pip install"),
        ("s4://data/wages.csv", "s4://data/wages.csv: Protocol not known: s4"),
        ("s3://data/mirror", "s3://data/mirror: "),
    ],
)
def test_what_cannot_be_read_is_told_and_nothing_is_left(store: Any, tmp_path: Path, source: str, reason: str) -> None:
    with pytest.raises(UserError, match=f"wages.csv could not be fetched:\n  {reason}"):
        fetched(tmp_path, source)
    assert list(tmp_path.iterdir()) == []


def test_another_content_is_refused(store: Any, tmp_path: Path) -> None:
    boto3.client("s3").put_object(Bucket="data", Key="changed.csv", Body=CONTENT + b"1,2,3\n")
    with pytest.raises(UserError, match=r"expected content with sha256 .*, received other content"):
        fetched(tmp_path, "s3://data/changed.csv")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("store")
def test_a_folder_of_a_store_is_read_as_its_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    client = boto3.client("s3")
    for name, rows in {
        "a.csv": b"1,2\n",
        "b.csv": b"3,4\n5,6\n",
        "_SUCCESS": b"",
        "old/c.csv": b"7,8\n",
        "exports": b"9,9\n",
    }.items():
        client.put_object(Bucket="data", Key=f"exports/{name}", Body=b"hours,wage\n" + rows)
    client.put_object(Bucket="data", Key="exports/", Body=b"")  # as consoles mark a folder
    fetch = Fetch(timeout=5.0, attempts=1)
    for key, body in {"marked/": b"", "marked/a.csv": b"hours,wage\n1,2\n"}.items():
        client.put_object(Bucket="data", Key=key, Body=body)
    with local_files(Source(source="s3://data/marked", target="wage"), "wages", fetch) as files:
        assert read_source(files.source).table.num_rows == 1
    source = Source(source="s3://data/exports/", target="wage")
    with local_files(source, "wages", fetch) as files:
        table = read_source(files.source).table
    assert table["hours"].to_pylist() == [1, 3, 5, 9]
    client.put_object(Bucket="data", Key="exports/d.csv", Body=b"wage\n5\n")
    refused = "s3://data/exports/d.csv: expected the columns of s3://data/exports/a.csv, different are hours"
    with pytest.raises(UserError, match=refused), local_files(source, "wages", fetch) as files:
        read_source(files.source)
    with pytest.raises(UserError, match="s3://data/none cannot be read: not found"):
        local_files(Source(source="s3://data/none", target="wage"), "wages", fetch).__enter__()


@pytest.fixture(scope="module")
def faulty(store: dict[str, str]) -> FaultyStore:
    return FaultyStore(store["AWS_ENDPOINT_URL"])


@pytest.mark.parametrize("fault", FAULTS)
def test_a_store_in_trouble_is_asked_again_after_waits_and_then_named(
    faulty: FaultyStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", faulty.address)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    waits: list[float] = []
    monkeypatch.setattr("time.sleep", waits.append)

    def download() -> bytes:
        return fetch_file("wages.csv", SHA256, tmp_path / "wages.csv", ["s3://data/wages.csv"], 0.5, 3).read_bytes()

    def read() -> int:
        source = Source(source="s3://data/wages.csv", target="wage")
        with local_files(source, "wages", Fetch(timeout=0.5, attempts=3)) as files:
            return read_source(files.source).table.num_rows

    faulty.fault = fault
    for attempt, expected in ((download, CONTENT), (read, 30_000)):
        waits.clear()
        faulty.left = 2
        assert attempt() == expected
        assert waits == [1, 2]
    (tmp_path / "wages.csv").unlink()
    for attempt, message in (
        (download, r"wages.csv could not be fetched:(\n  s3://data/wages.csv: .+){3}\n"),
        (read, "s3://data/wages.csv cannot be read: "),
    ):
        waits.clear()
        faulty.left = 100
        with pytest.raises(UserError, match=message):
            attempt()
        assert waits == [1, 2]
        assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_outputs_come_back_from_a_dvc_remote_in_the_store(project: Project, store: dict[str, str], tmp_path) -> None:
    here = Project(tmp_path / "here" / "project")
    shutil.copytree(project.folder, here.folder)
    there = Project(tmp_path / "there" / "project")
    here.run("dvc", "remote", "add", "--default", "store", "s3://data/outputs")
    here.run("dvc", "push")
    here.run("git", "add", ".dvc/config", "dvc.lock")
    here.run("git", "commit", "-q", "-m", "Outputs are in the store")
    here.run("git", "clone", "-q", str(here.folder), str(there.folder))
    made = here.folder / "data/prepared/iris/train.parquet"
    assert not (there.folder / made.relative_to(here.folder)).exists()
    there.run("dvc", "pull")
    assert (there.folder / made.relative_to(here.folder)).read_bytes() == made.read_bytes()
