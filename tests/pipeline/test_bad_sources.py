"""Queries, addresses, stores and pictures that cannot be read: one message each, without a password."""

import gzip
import os
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import s3fs
from PIL import Image

from contracts.errors import UserError
from contracts.files import md5
from contracts.settings.load import Fetch
from contracts.settings.source import Source
from pipeline.sources.image_folders import is_image_folder
from pipeline.sources.own_table import Reading, local_md5, read_source
from pipeline.sources.streaming.local_files import local_files
from pipeline.sources.streaming.size import needs_as_whole

FETCH = Fetch(timeout=5.0, attempts=1)


def read_query(query: str, target: str) -> Reading:
    with local_files(Source(source=query, database="VISITS", target=target), "visits", FETCH) as files:
        return read_source(files.source)


def read_address(address: str) -> Reading:
    with local_files(Source(source=address, target="y"), "rows", FETCH) as files:
        return read_source(files.source)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("drop table visits", "data.source: expected one SELECT or WITH statement, received 'drop table visits'"),
        ("select 1; delete from visits",
         "data.source: expected one SELECT or WITH statement, received 'select 1; delete from visits'"),
        ("with gone as (delete from visits returning *) select * from gone",
         "data.source: expected a query that only reads, received DELETE; put the name of a column into quotation "
         "marks"),
        ("select * into copy from visits", "data.source: expected a query that only reads, received INTO; put the name "
         "of a column into quotation marks"),
        ("select * from visit", "VISITS: sqlite:///{folder}/visits.db does not answer the query: no such table: visit"),
        ("select * from visits where age > 1000", "the query has no rows"),
        ("select age, age from visits", "the query: expected each name once, received more than once: age"),
        ("select age as a, again from visits union all select 'x', 1",
         "the query: column 'a': expected values of one type, received int (row 1) and str (row 61)"),
        ("select 3 as a, again from visits union all select 1.5, 1 union all select 9007199254740993, 0",
         "the query: column 'a': expected values of one type, received float (row 61) and int (row 1)"),
        ("select x'00' as a, again from visits",
         'the query: expected one value in each cell, received lists, structures or bytes in a; data.columns: {"a": '
         "drop} leaves them out"),
    ],
)  # fmt: skip
def test_a_query_that_writes_or_fails_is_refused(folder: Path, database: Path, query: str, message: str) -> None:
    before = database.read_bytes()
    with pytest.raises(UserError) as refused:
        read_query(query, "again")
    assert str(refused.value) == message.replace("{folder}", str(folder))
    assert database.read_bytes() == before


def test_a_query_without_an_end_is_refused(folder: Path, database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.sources.streaming.parquet_writer.LEAST_FREE", 2**62)
    endless = "with recursive n(i, y) as (select 1, 0 union all select i + 1, i % 2 from n) select i, y from n"
    with pytest.raises(UserError, match=r"the query: its first 10,000 rows leave less than .* GiB of the disk"):
        read_query(endless, "y")
    assert not list((folder / "var/fetched").iterdir())


def test_an_address_that_leads_nowhere_is_told_without_its_password(folder: Path, monkeypatch) -> None:
    for address, told in (
        ("sqlite:///{folder}/none.db", "VISITS: there is no file {folder}/none.db"),
        (
            "postgresql+psycopg://me:secret@127.0.0.1:9/x",
            "VISITS: postgresql+psycopg://me:***@127.0.0.1:9/x does not answer",
        ),
        ("nonsense", "VISITS: expected an address as postgresql+psycopg://"),
        ("mysql+pymysql://me:secret@x/y", "VISITS: the driver pymysql is missing: uv pip install it"),
    ):
        monkeypatch.setenv("VISITS", address.replace("{folder}", str(folder)))
        with pytest.raises(UserError) as refused:
            read_query("select 1", "y")
        assert str(refused.value).startswith(told.replace("{folder}", str(folder)))
        assert "secret" not in str(refused.value)
    assert not (folder / "none.db").exists()


def test_a_store_without_credentials_is_told(folder: Path, monkeypatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, str(folder / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    s3fs.S3FileSystem.clear_instance_cache()  # or another test's credentials are used again
    with pytest.raises(UserError) as refused:
        read_address("s3://clinic/rows.csv")
    told = "the credentials of the store are missing or wrong (Unable to locate credentials)"
    assert str(refused.value) == f"s3://clinic/rows.csv cannot be read: {told}"


def test_pictures_that_are_none_are_named(folder: Path) -> None:
    size = {"height": 4, "width": 4, "maximum": 255.0}
    for name in ("cats", "dogs"):
        (folder / "pets" / name).mkdir(parents=True)
    with pytest.raises(UserError, match="pets: expected a folder with PNG or JPEG pictures for each of two"):
        read_source(Source(source="pets", image=size))
    Image.fromarray(np.zeros((4, 4), np.uint8)).save("pets/cats/1.png")
    (folder / "pets/dogs/1.png").write_bytes(os.urandom(50))
    with pytest.raises(UserError) as refused:
        read_source(Source(source="pets", image=size))
    assert str(refused.value) == (
        f"{folder}/pets has files that are not pictures:\n"
        "  dogs/1.png: expected a whole PNG or JPEG picture, received something else, or a part of one"
    )


@pytest.fixture
def website(folder: Path):
    """The address under which the files of the folder `web` are."""
    (folder / "web").mkdir()
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder / "web"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_an_address_of_a_web_page_and_one_without_an_answer_are_told(folder: Path, website: str) -> None:
    (folder / "web/rows.csv.gz").write_bytes(gzip.compress(b"a,y\n1,0\n2,1\n"))
    assert read_address(f"{website}/rows.csv.gz?raw=true").table.num_rows == 2
    (folder / "web/rows.csv").write_text("<!DOCTYPE html>\n<title>rows, of a repository</title>\n<p>Hello, world\n")
    (folder / "web/pages").mkdir()
    for address, told in (
        (
            f"{website}/rows.csv",
            "rows.csv is a web page: expected rows of text, so give the address of the file itself",
        ),
        (f"{website}/pages/", "pages is a web page: expected rows of text, so give the address of the file itself"),
        (f"{website}/none.csv", "{} cannot be read: not found"),
        ("http://127.0.0.1:9/rows.csv", "{} cannot be read: no connection"),
    ):
        with pytest.raises(UserError) as refused:
            read_address(address)
        assert str(refused.value).partition(" (")[0] == told.format(address)
    assert not list((folder / "var/fetched").iterdir())


@pytest.mark.parametrize("content", ["null\n", '{"a": 1, "y": 0}\n null\n', '[null, {"a": 1, "y": 0}]'])
def test_null_in_the_place_of_a_row_of_json_is_told(folder: Path, content: str) -> None:
    (folder / "rows.json").write_text(content)
    with pytest.raises(UserError, match=r"^rows\.json: expected a JSON object in every line, received null$"):
        read_source(Source(source="rows.json", target="y"))


def test_a_pipe_and_a_name_that_is_too_long_are_told(folder: Path) -> None:
    os.mkfifo(folder / "rows.csv")
    os.close(os.open(folder / "rows.csv", os.O_RDWR))
    for name, told in (("rows.csv", "is a pipe or a device: expected a file"), ("x" * 300, "File name too long")):
        assert not is_image_folder(folder / name)
        assert needs_as_whole(Source(source=name, target="y")) == 0
        with pytest.raises(UserError, match=told):
            read_source(Source(source=name, target="y"))


def test_a_tilde_is_the_folder_of_the_user(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "home").mkdir()
    (folder / "home/rows.csv").write_text("a,y\n1,0\n2,1\n")
    monkeypatch.setenv("HOME", str(folder / "home"))
    source = Source(source="~/rows.csv", target="y")
    assert read_source(source).md5 == local_md5(source) == md5(folder / "home/rows.csv")
