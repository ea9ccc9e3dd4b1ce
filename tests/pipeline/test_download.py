"""Downloads from a real server with every kind of fault."""

import gzip
import hashlib
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from contracts.errors import UserError
from pipeline.sources.download import fetch_file

CONTENT = b"a,b\n1,2\n" * 1000
SHA256 = hashlib.sha256(CONTENT).hexdigest()
PAGE = b"<!DOCTYPE html><html><body>Please sign in</body></html>"


class Server(ThreadingHTTPServer):
    """Serves CONTENT at /good, and each kind of fault at a path of its own; counts requests by path."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.seen: list[str] = []
        self.ended = threading.Event()

    def address(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_port}/{path}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        name = self.path.lstrip("/")
        self.server.seen.append(name)
        if name.startswith("status-"):
            self.answer(b"no", status=int(name.removeprefix("status-")))
        elif name == "page":
            self.answer(PAGE)
        elif name == "other":
            self.answer(b"other" * 100)
        elif name == "short":
            self.answer(CONTENT[:100], length=len(CONTENT))
        elif name == "stall":
            self.answer(CONTENT[:100], length=len(CONTENT), stall=True)
        elif name == "second-try" and self.server.seen.count(name) == 1:
            self.answer(b"busy", status=503)
        elif name == "only-browsers" and "Mozilla" not in self.headers["User-Agent"]:
            self.answer(b"no", status=403)
        elif name == "good.gz":
            self.answer(gzip.compress(CONTENT))
        elif name == "encoded.gz":
            self.answer(gzip.compress(CONTENT), encoding="gzip")
        else:
            self.answer(CONTENT)

    def answer(
        self, body: bytes, status: int = 200, length: int | None = None, stall: bool = False, encoding: str = ""
    ) -> None:
        self.send_response(status)
        if encoding:
            self.send_header("Content-Encoding", encoding)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)
        if stall:
            self.wfile.flush()
            self.server.ended.wait(20)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as made:
        thread = threading.Thread(target=made.serve_forever, daemon=True)
        thread.start()
        yield made
        made.ended.set()
        made.shutdown()
        thread.join()


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "downloads" / "data.csv"


def fetch(target: Path, *sources: str, attempts: int = 1, timeout: float = 5) -> Path:
    return fetch_file(target.name, SHA256, target, list(sources), timeout, attempts)


def left_over(target: Path) -> list[str]:
    return [path.name for path in target.parent.iterdir()] if target.parent.exists() else []


def test_a_download_leaves_only_the_file(server: Server, target: Path) -> None:
    assert fetch(target, server.address("good")).read_bytes() == CONTENT
    assert left_over(target) == ["data.csv"]
    assert target.stat().st_mode & 0o444 == 0o444


def test_a_valid_file_needs_no_network(server: Server, target: Path) -> None:
    fetch(target, server.address("good"))
    fetch(target, "http://127.0.0.1:1/nothing-listens-here")
    assert server.seen == ["good"]


def test_a_truncated_file_is_fetched_again(server: Server, target: Path) -> None:
    target.parent.mkdir()
    target.write_bytes(CONTENT[:100])
    assert fetch(target, server.address("good")).read_bytes() == CONTENT


def test_a_compressed_file_is_verified_by_its_content(server: Server, tmp_path: Path) -> None:
    target = tmp_path / "data.csv.gz"
    fetch(target, server.address("good.gz"))
    assert gzip.decompress(target.read_bytes()) == CONTENT


def test_a_compressed_file_stays_compressed_where_a_server_calls_it_an_encoding(server: Server, tmp_path: Path) -> None:
    target = tmp_path / "data.csv.gz"
    fetch(target, server.address("encoded.gz"))
    assert gzip.decompress(target.read_bytes()) == CONTENT


def test_a_truncated_archive_is_fetched_again(server: Server, tmp_path: Path) -> None:
    target = tmp_path / "data.csv.gz"
    target.write_bytes(gzip.compress(CONTENT)[:50])
    fetch(target, server.address("good.gz"))
    assert gzip.decompress(target.read_bytes()) == CONTENT


def test_a_host_that_wants_a_browser_answers(server: Server, target: Path) -> None:
    assert fetch(target, server.address("only-browsers")).read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ("status-403", "answered 403"),
        ("status-404", "not found"),
        ("status-429", "answered 429"),
        ("status-500", "answered 500"),
        ("page", "received an HTML page"),
        ("other", "received other content"),
        ("short", "the connection ended before the file did"),
        ("stall", "no byte for 0.5 s"),
    ],
)
def test_a_fault_is_reported_and_leaves_nothing(server: Server, target: Path, fault: str, told: str) -> None:
    started = time.monotonic()
    with pytest.raises(UserError, match=told) as refusal:
        fetch(target, server.address(fault), timeout=0.5)
    assert "DATA_MIRROR" in str(refusal.value)
    assert left_over(target) == []
    assert time.monotonic() - started < 10


@pytest.mark.parametrize("fault", ["status-404", "page", "short", "stall"])
def test_the_next_source_is_tried_after_a_fault(server: Server, target: Path, fault: str) -> None:
    assert fetch(target, server.address(fault), server.address("good"), timeout=0.5).read_bytes() == CONTENT


def test_a_server_that_does_not_answer_is_reported(target: Path) -> None:
    with pytest.raises(UserError, match="no connection"):
        fetch(target, "http://127.0.0.1:1/data.csv")


def test_temporary_failures_are_retried_and_permanent_ones_are_not(server: Server, target: Path) -> None:
    assert fetch(target, server.address("second-try"), attempts=2).read_bytes() == CONTENT
    assert server.seen == ["second-try", "second-try"]
    target.unlink()
    with pytest.raises(UserError):
        fetch(target, server.address("status-404"), server.address("page"), attempts=3)
    assert server.seen[2:] == ["status-404", "page"]


def test_a_mirror_folder_is_a_source(tmp_path: Path, target: Path) -> None:
    (tmp_path / "mirror.csv").write_bytes(CONTENT)
    assert fetch(target, str(tmp_path / "absent.csv"), str(tmp_path / "mirror.csv")).read_bytes() == CONTENT


def test_a_mirror_that_cannot_be_read_is_named_and_the_next_source_is_tried(
    server: Server, tmp_path: Path, target: Path
) -> None:
    (tmp_path / "file").write_bytes(CONTENT)
    (tmp_path / "loop").symlink_to("loop")
    inside_a_file, loop, unreadable = str(tmp_path / "file/x.csv"), str(tmp_path / "loop"), "/proc/self/mem"
    with pytest.raises(UserError) as refusal:
        fetch(target, inside_a_file, loop, unreadable, attempts=3)
    assert [line.strip() for line in str(refusal.value).splitlines()[1:4]] == [
        f"{inside_a_file}: cannot be read (Not a directory)",
        f"{loop}: cannot be read (Too many levels of symbolic links)",
        f"{unreadable}: cannot be read (Input/output error)",
    ]
    assert fetch(target, unreadable, server.address("good")).read_bytes() == CONTENT


def test_a_download_without_an_end_is_ended(server: Server, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.sources.download.MOST_BYTES", 1000)
    with pytest.raises(UserError, match="expected at most 0 GiB, received more"):
        fetch(target, server.address("good"))
    assert left_over(target) == []


def test_a_compressed_bomb_is_no_content_and_the_next_source_is_tried(server: Server, tmp_path: Path) -> None:
    (tmp_path / "bomb.gz").write_bytes(gzip.compress(bytes(70 * 2**20)))
    target = tmp_path / "data.csv.gz"
    assert gzip.decompress(fetch(target, str(tmp_path / "bomb.gz"), server.address("good.gz")).read_bytes()) == CONTENT


def test_downloads_at_the_same_time_all_get_the_file(server: Server, target: Path) -> None:
    results: list[bytes] = []
    threads = [
        threading.Thread(target=lambda: results.append(fetch(target, server.address("good")).read_bytes()))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [CONTENT] * 4
    assert left_over(target) == ["data.csv"]


def test_a_target_that_cannot_be_written_is_reported(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="could not be written"):
        fetch(tmp_path / "file" / "data.csv", server.address("good"))
