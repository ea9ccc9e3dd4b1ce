"""The databases of studies and runs: whether they can be used, who searches, and what to do when they fail."""

import contextlib
import errno
import hashlib
import os
import re
import shutil
import socket
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from contracts.errors import UserError
from pipeline.paths import var

ANSWERS = 5  # seconds in which a server has to answer
NO_ROOM = re.compile(
    r"No space left on device|database or disk is full|Disk quota exceeded|\d+ requested and \d+ written"
)


def check(address: str, variable: str, table: str) -> None:
    """Whether a store can be opened, and written by this user.

    Args:
        variable: the environment variable that names it.
        table: what it holds once it was used.

    Raises:
        UserError: with what is wrong and what to do, before anything is written.
    """
    if address.startswith("sqlite:///"):
        _check_file(Path(address.removeprefix("sqlite:///")), variable)
    elif address.startswith(("http://", "https://")):
        _check_server(address, variable)
    elif "://" in address and not address.startswith(("file:", "databricks")):
        _check_database(address, variable, table)


def _check_file(path: Path, variable: str) -> None:
    if not path.exists() or path.stat().st_size == 0:
        return
    try:
        with contextlib.closing(sqlite3.connect(path, timeout=60)) as connection:
            found = connection.execute("pragma quick_check(1)").fetchone()[0]
    except sqlite3.OperationalError:  # a lock, no room, no right: nothing that says it is damaged
        raise
    except sqlite3.DatabaseError as error:
        found = str(error)
    if found == "ok":
        return
    raise UserError(
        f"{path} is damaged ({found}); nothing was run, and it was not changed. Put a copy of yours in its place, or "
        f"set it aside with `mv {path} {path}.damaged` and begin anew, or name another one in {variable}; "
        f"`sqlite3 {path}.damaged .recover` may save what is left in it"
    )


def write_ahead(path: Path) -> None:
    """Let commits to a SQLite database wait once for the disk, not three times, and readers not at all."""
    with contextlib.closing(sqlite3.connect(path, timeout=60)) as connection:
        connection.execute("pragma journal_mode = wal")


def _check_server(address: str, variable: str) -> None:
    import requests

    shown = _without_password(address)
    try:
        answer = requests.get(f"{address.rstrip('/')}/health", timeout=ANSWERS)
    except requests.RequestException as error:
        raise UserError(f"no MLflow server answers at {shown} ({variable}): {_first(error)}; nothing was run") from None
    if answer.status_code >= 500:
        raise UserError(f"the MLflow server at {shown} ({variable}) answers {answer.status_code}; nothing was run")


def _check_database(address: str, variable: str, table: str) -> None:
    import sqlalchemy

    shown = _without_password(address)
    postgresql = address.startswith("postgresql")
    try:
        engine = sqlalchemy.create_engine(address, connect_args={"connect_timeout": ANSWERS} if postgresql else {})
    except ImportError as error:
        raise UserError(
            f"{variable} names {shown}, whose driver is missing ({error.name or error}): "
            f"install it with `uv pip install {error.name or '<driver>'}`; PostgreSQL needs none more"
        ) from None
    except sqlalchemy.exc.ArgumentError as error:
        raise UserError(f"{variable}: expected the address of a database, received {shown} ({_first(error)})") from None
    try:
        with engine.connect() as connection:
            there = sqlalchemy.inspect(connection).has_table(table)
            may = there or not postgresql or connection.scalar(sqlalchemy.text(
                "select has_schema_privilege(current_user, current_schema(), 'CREATE')"
            ))  # fmt: skip
            user = connection.engine.url.username
    except sqlalchemy.exc.DBAPIError as error:
        raise UserError(f"{variable}: {shown} cannot be used: {_first(error.orig)}; nothing was run") from None
    finally:
        engine.dispose()
    if not may:
        raise UserError(
            f"{variable}: the user {user!r} may not create tables in {shown}; nothing was run. As its owner: "
            f"grant create on schema public to {user}"
        )


@contextlib.contextmanager
def study_lock(address: str, study: str) -> Iterator[None]:
    """Hold a study of a PostgreSQL database for one search at a time, wherever it runs; another one waits."""
    if not address.startswith("postgresql"):
        yield
        return
    import sqlalchemy

    digest = hashlib.sha256(study.encode()).digest()
    key = {"high": int.from_bytes(digest[:3], "big"), "low": int.from_bytes(digest[3:6], "big")}
    name = f"search {socket.gethostname()[:40]}, process {os.getpid()}"
    engine = sqlalchemy.create_engine(
        address, poolclass=sqlalchemy.NullPool, connect_args={"application_name": name, "connect_timeout": ANSWERS}
    )
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        if not connection.scalar(sqlalchemy.text("select pg_try_advisory_lock(:high, :low)"), key):
            holder = connection.scalar(sqlalchemy.text(
                "select application_name from pg_stat_activity join pg_locks using (pid) where locktype = 'advisory' "
                "and granted and classid = :high and objid = :low limit 1"
            ), key)  # fmt: skip
            print(f"  study {study} is being searched by {holder}; waiting for it to end", flush=True)
            connection.execute(sqlalchemy.text("select pg_advisory_lock(:high, :low)"), key)
        yield


@contextlib.contextmanager
def failures_explained() -> Iterator[None]:
    """Turn a full disk, or a server that stopped answering in the middle, into one message."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        explanation = _explanation(error)
        if explanation is None:
            raise
        raise UserError(f"{explanation}; what is finished is kept, and the same command goes on") from None


def _explanation(error: BaseException | None) -> str | None:
    free = shutil.disk_usage(var()).free / 2**20
    while error is not None:
        # SQLite says no more than I/O error where it cannot make the files that it needs for a moment.
        full = NO_ROOM.search(str(error)) or ("disk I/O error" in str(error) and free < 1)
        if full or getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
            return f"the disk is full ({free:.1f} MB are left for {var()}): make room"
        if type(error).__module__.startswith(("psycopg", "requests")):
            return f"a server stopped answering ({_first(error)}): see that it runs"
        error = error.__cause__ or error.__context__
    return None


def _without_password(address: str) -> str:
    parts = urlsplit(address)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def _first(error: BaseException | None) -> str:
    """The first line of what a library says."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
