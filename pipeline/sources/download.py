"""Downloads, verified by the SHA-256 of their content. Why fsspec: docs/decisions/0012-downloads.md."""

import contextlib
import errno
import gzip
import hashlib
import os
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import fsspec
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from contracts.errors import UserError, printable
from pipeline.sources.decompression import MOST_BYTES, read_chunks

HEADERS = {"User-Agent": "Mozilla/5.0 (dataset download)"}  # some hosts answer 403 to the user agent of a library


def content_digest(path: Path) -> str:
    """The sha256 of a file's content, decompressed if it is gzip; ValueError if it is too large."""
    opened, sha256 = gzip.open if path.suffix == ".gz" else open, hashlib.sha256()
    with opened(path, "rb") as file:
        for chunk in read_chunks(file.read, path.stat().st_size):
            sha256.update(chunk)
    return sha256.hexdigest()


def fetch_file(
    name: str,
    sha256: str,
    target: Path,
    sources: list[str],
    timeout: float,
    attempts: int,
    digest: Callable[[Path], str] = content_digest,
) -> Path:
    """Download a file from the first source that has it, unless `target` has the content already.

    The download is verified beside its target and then renamed, so that an interrupted one leaves `target` as it was.

    Args:
        sources: folders or addresses, tried in turn: of the web, or of an object store (`s3://…`).
        timeout: seconds without a byte after which a source counts as stalled.
        attempts: for each source, as long as another attempt can help; the waits double, from one second.

    Raises:
        UserError: with the reason of each source.
    """
    if target.exists() and _digest_or_none(target, digest) == sha256:
        return target
    failures = []
    for source in sources:
        failed = retry(source, attempts, partial(_fetch, name, source, sha256, target, timeout, digest))
        if not failed:
            return target
        failures += failed
    advice = f"Put the file into {target.parent}, or set DATA_MIRROR to a folder or address that has <dataset>/<file>."
    raise UserError("\n  ".join([f"{name} could not be fetched:", *failures, advice]))


def retry(source: str, attempts: int, ask: Callable[[], None]) -> list[str]:
    """Ask a source until it succeeds or another attempt cannot help; the reasons of all attempts, empty after success.

    The waits double, from one second.
    """
    failures = []
    for attempt in range(attempts):
        if attempt:
            time.sleep(2 ** (attempt - 1))
        try:
            ask()
            return []
        except SourceFailed as failure:
            failures.append(f"{source}: {failure}")
            if not failure.is_temporary:
                break
    return failures


class SourceFailed(Exception):
    """Why a source failed; `is_temporary` if another attempt may succeed."""

    def __init__(self, reason: str, is_temporary: bool) -> None:
        super().__init__(reason)
        self.is_temporary = is_temporary


def _fetch(name: str, source: str, sha256: str, target: Path, timeout: float, digest: Callable[[Path], str]) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        # On the file system of the target for the rename, and with its own name for other runs at the same time.
        with tempfile.TemporaryDirectory(prefix=".partial-", dir=target.parent) as folder:
            unfinished = Path(folder) / target.name
            with source_errors(source, timeout), ProgressBar(name, _check_size) as progress:
                store, path = open_store(source, timeout)
                if "://" not in source:
                    os.stat(path)  # fsspec says "not found" of anything that it cannot read
                store.get_file(path, str(unfinished), callback=progress)
            if not unfinished.is_file():  # fsspec would copy a folder
                raise SourceFailed("not found", is_temporary=False)
            if _digest_or_none(unfinished, digest) != sha256:
                start = unfinished.read_bytes()[:200].lstrip().lower()
                what = "an HTML page" if start.startswith((b"<!doctype html", b"<html")) else "other content"
                raise SourceFailed(f"expected content with sha256 {sha256[:12]}…, received {what}", is_temporary=False)
            with unfinished.open("rb") as file:
                os.fsync(file.fileno())
            unfinished.replace(target)
    except OSError as error:
        raise UserError(f"{name} could not be written to {target.parent}: {error.strerror or error}") from error


def open_store(source: str, timeout: float) -> tuple[Any, str]:
    """The file system of a source, and the path in it. It asks once; the caller repeats."""
    store, path = fsspec.url_to_fs(source, **_options(source, timeout))
    if source.startswith("s3://"):
        store.retries = 1  # s3fs has no argument for it
    return store, path


def _options(source: str, timeout: float) -> dict[str, Any]:
    """The arguments of fsspec's file system: for the web those of `aiohttp.ClientSession`, for S3 those of botocore."""
    if source.startswith("s3://"):
        return {"config_kwargs": {"connect_timeout": timeout, "read_timeout": timeout, "retries": {"max_attempts": 0}}}
    if not source.startswith(("http://", "https://")):
        return {}
    import aiohttp  # takes a second, which local data does not need

    limits = aiohttp.ClientTimeout(total=None, sock_connect=timeout, sock_read=timeout)
    # The environment names proxies. A server may call a .gz file a compressed answer: it stays compressed.
    return {"client_kwargs": {"headers": HEADERS, "timeout": limits, "trust_env": True, "auto_decompress": False}}


@contextlib.contextmanager
def source_errors(source: str, timeout: float) -> Iterator[None]:
    """Turn errors into `SourceFailed`, with the reason and whether it is temporary. A full disk is not a failure of the
    source.
    """
    try:
        yield
    except SourceFailed:
        raise
    except FileNotFoundError:
        raise SourceFailed("not found", is_temporary=False) from None
    except PermissionError as error:
        raise SourceFailed(f"permission denied ({error})", is_temporary=False) from None
    except (ImportError, ValueError) as error:  # a missing package, an unknown protocol
        raise SourceFailed(f"{error} (packages: `.venv/bin/uv pip install …`)", is_temporary=False) from None
    except TimeoutError:
        raise SourceFailed(f"no byte for {timeout:g} s", is_temporary=True) from None
    except Exception as error:  # each store has its own errors
        if source.startswith(("http://", "https://")):
            _raise_web_error(error)
        if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG):
            raise
        if "://" not in source and isinstance(error, OSError):
            raise SourceFailed(f"cannot be read ({error.strerror or error})", is_temporary=False) from None
        if "credential" in str(error).lower():
            raise SourceFailed(f"the credentials of the store are missing or wrong ({error})", False) from None
        what = "no connection" if source.startswith(("http://", "https://")) else "the store failed"
        raise SourceFailed(f"{what} ({type(error).__name__}: {error})", is_temporary=True) from None


def _raise_web_error(error: Exception) -> None:
    import aiohttp

    if isinstance(error, aiohttp.ClientResponseError):
        again = error.status == 429 or error.status >= 500
        raise SourceFailed(f"answered {error.status} {error.message}", again) from None
    if isinstance(error, aiohttp.ClientPayloadError):
        raise SourceFailed("the connection ended before the file did", is_temporary=True) from None


def _check_size(received: int) -> None:
    if received > MOST_BYTES:
        raise SourceFailed(f"expected at most {MOST_BYTES // 2**30} GiB, received more", is_temporary=False)


class ProgressBar(fsspec.Callback):
    """Shows the progress of a download.

    Args:
        check: is called with the bytes that were received so far, and may end the download.
    """

    def __init__(self, name: str, check: Callable[[int], None]) -> None:
        super().__init__()
        self.check = check
        columns = (TextColumn("  {task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
        self.progress = Progress(*columns, transient=True)
        self.task = self.progress.add_task(printable(name), total=None)
        self.progress.start()

    def call(self, *_: Any, **__: Any) -> None:
        self.check(self.value)
        self.progress.update(self.task, total=self.size, completed=self.value)

    def close(self) -> None:
        self.progress.stop()


def _digest_or_none(path: Path, digest: Callable[[Path], str]) -> str | None:
    """The digest, or None if the file has another format."""
    try:
        return digest(path)
    except (OSError, EOFError, zlib.error, ValueError):
        return None
