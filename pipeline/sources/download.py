"""Get a file and believe it only when its content is the one expected."""

import contextlib
import gzip
import hashlib
import os
import shutil
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import requests
import urllib3
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from contracts.errors import UserError

CHUNK = 1 << 16
USER_AGENT = "Mozilla/5.0 (dataset download)"  # some hosts refuse the default one with 403


def content_digest(path: Path) -> str:
    """The sha256 of a file's content, decompressed where it is gzip."""
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fetch_file(
    name: str,
    sha256: str,
    target: Path,
    sources: list[str],
    timeout: float,
    attempts: int,
    digest: Callable[[Path], str] = content_digest,
) -> Path:
    """Make sure that `target` holds the content with that hash, from the first source that has it.

    A valid file needs no network. A new one is written beside its target, verified, and only then
    renamed, so that a run cut short leaves nothing half written.

    Args:
        sources: folders or complete addresses, tried in turn: of the web, or of an object store (`s3://…`).
        timeout: seconds without a byte before a source counts as stalled.
        attempts: tries per address where trying again can help; waits double, from one second.

    Raises:
        UserError: saying for every source why it did not serve.
    """
    if target.exists() and _digest_or_none(target, digest) == sha256:
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    failures = []
    for source in sources:
        for attempt in range(attempts):
            if attempt:
                time.sleep(2 ** (attempt - 1))
            try:
                _try_source(name, source, sha256, target, timeout, digest)
                return target
            except _Refused as refusal:
                failures.append(f"{source}: {refusal}")
                if not refusal.worth_another_try:
                    break
    raise UserError(
        "\n  ".join(
            [
                f"{name} could not be fetched:",
                *failures,
                f"Put the file into {target.parent} by hand, or set "
                "DATA_MIRROR to a folder or address that has <dataset>/<file>.",
            ]
        )
    )


class _Refused(Exception):
    def __init__(self, reason: str, worth_another_try: bool) -> None:
        super().__init__(reason)
        self.worth_another_try = worth_another_try


def _try_source(
    name: str, source: str, sha256: str, target: Path, timeout: float, digest: Callable[[Path], str]
) -> None:
    # Made beside the target so that the rename stays within one file system; a suffix of its own,
    # so that two runs at once do not write into each other's file.
    handle, partial_name = tempfile.mkstemp(prefix=".partial-", suffix=target.suffix, dir=target.parent)
    partial = Path(partial_name)
    try:
        with os.fdopen(handle, "wb") as file:
            if source.startswith(("http://", "https://")):
                _download(name, source, file, timeout)
            elif "://" in source:
                total, chunks = _in_store(source)
                for chunk in _with_progress(name, total, chunks):
                    file.write(chunk)
            else:
                _copy(source, file)
            file.flush()
            os.fsync(file.fileno())
        received = _digest_or_none(partial, digest)
        if received != sha256:
            opening = partial.read_bytes()[:200].lstrip().lower()
            what = "an HTML page" if opening.startswith((b"<!doctype html", b"<html")) else "other content"
            raise _Refused(f"expected content with sha256 {sha256[:12]}…, received {what}", worth_another_try=False)
        partial.chmod(0o644)  # what mkstemp makes is for its owner alone
        partial.replace(target)
    except OSError as error:
        raise UserError(f"{name} could not be written to {target.parent}: {error.strerror or error}") from error
    finally:
        partial.unlink(missing_ok=True)


def _copy(source: str, file) -> None:  # type: ignore[no-untyped-def]
    if not os.path.isfile(source):
        raise _Refused("no such file", worth_another_try=False)
    with open(source, "rb") as opened:
        shutil.copyfileobj(opened, file)


def _download(name: str, address: str, file, timeout: float) -> None:  # type: ignore[no-untyped-def]
    try:
        with requests.get(address, stream=True, timeout=timeout, headers={"User-Agent": USER_AGENT}) as answer:
            if answer.status_code != 200:
                # 429 and 5xx pass; 403 and 404 stay what they are.
                again = answer.status_code == 429 or answer.status_code >= 500
                raise _Refused(f"answered {answer.status_code} {answer.reason}", worth_another_try=again)
            expected = int(answer.headers.get("Content-Length", 0)) or None
            received = 0
            for chunk in _with_progress(name, expected, answer.raw.stream(CHUNK, decode_content=False)):
                received += len(chunk)
                file.write(chunk)
            if expected is not None and received != expected:
                raise _Refused(f"expected {expected} bytes, received {received}", worth_another_try=True)
    except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
        raise _Refused(_reason(error, timeout), worth_another_try=True) from None


def _in_store(address: str) -> tuple[int, Iterator[bytes]]:
    """The size and the content of an object, by whichever package fsspec (DVC brings it) has for such a store."""
    import fsspec

    with _store_failures():
        store, path = fsspec.url_to_fs(address)
        return store.size(path), _chunks(store, path)


def _chunks(store: Any, path: str) -> Iterator[bytes]:
    with _store_failures(), store.open(path, "rb") as opened:
        while chunk := opened.read(CHUNK):
            yield chunk


@contextlib.contextmanager
def _store_failures() -> Iterator[None]:
    try:
        yield
    except (ImportError, ValueError) as error:  # the package is missing; nobody knows such an address
        raise _Refused(f"{error} (packages: `.venv/bin/uv pip install …`)", worth_another_try=False) from None
    except FileNotFoundError:
        raise _Refused("no such object", worth_another_try=False) from None
    except PermissionError as error:
        raise _Refused(f"no right to read it ({error})", worth_another_try=False) from None
    except Exception as error:  # each store has its own
        raise _Refused(f"{type(error).__name__}: {error}", worth_another_try=True) from None


def _reason(error: Exception, timeout: float) -> str:
    if isinstance(error, requests.Timeout) or "timed out" in str(error).lower():
        return f"no byte for {timeout:g} s"
    if "IncompleteRead" in str(error):
        return "the connection ended before the file did"
    return f"no connection ({type(error).__name__})"


def _with_progress(name: str, total: int | None, chunks: Iterator[bytes]) -> Iterator[bytes]:
    columns = (TextColumn("  {task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, transient=True) as progress:
        task = progress.add_task(name, total=total)
        for chunk in chunks:
            progress.advance(task, len(chunk))
            yield chunk


def _digest_or_none(path: Path, digest: Callable[[Path], str]) -> str | None:
    """The digest, or None where the file is not of the format that it should be."""
    try:
        return digest(path)
    except (OSError, EOFError, zlib.error, ValueError):
        return None
