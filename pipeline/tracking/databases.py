"""The databases of studies and runs: checks before their use, and explanations of their failures."""

import contextlib
import errno
import logging
import os
import re
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from contracts.errors import UserError
from pipeline.paths import var

CONNECT_TIMEOUT = 5  # seconds
SEARCH = "/api/2.0/mlflow/experiments/search?max_results=1"  # unlike /health, refused under a name that is not allowed
DISK_FULL = re.compile(
    r"No space left on device|database or disk is full|Disk quota exceeded|\d+ requested and \d+ written"
)

logging.getLogger("sqlalchemy.pool").setLevel(logging.CRITICAL)  # it also raises all that it logs


def optuna_storage() -> str:
    """`OPTUNA_STORAGE`, or a SQLite database in `var/`."""
    var().mkdir(parents=True, exist_ok=True)
    return os.environ.get("OPTUNA_STORAGE") or f"sqlite:///{var() / 'optuna.db'}"


def check_usable(address: str, variable: str, table: str) -> None:
    """Check that a store can be opened, and that this user can write to it. Nothing is written.

    Args:
        variable: the environment variable that names the store.
        table: a table of the store; if it is missing, the user must be able to create it.

    Raises:
        UserError: with the problem and what to do.
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
    except sqlite3.OperationalError:  # a lock, a full disk or missing permissions, not a damaged file
        raise
    except sqlite3.DatabaseError as error:
        found = str(error)
    if found == "ok":
        return
    raise UserError(
        f"{path} is damaged ({found}); nothing was run, and the file was not changed. Restore a backup of it, or "
        f"set it aside with `mv {path} {path}.damaged` and start with an empty one, or name another one in "
        f"{variable}; `sqlite3 {path}.damaged .recover` prints what can be recovered"
    )


def is_sqlite(path: Path) -> bool:
    """Whether SQLite can open a file, or creates it; its pages are not checked.

    SQLite itself must open it: if this process closed a file of its own, it would lose SQLite's locks on the database.
    """
    if not path.exists():
        return True
    try:
        with contextlib.closing(sqlite3.connect(path, timeout=60)) as connection:
            connection.execute("pragma schema_version")
    except sqlite3.OperationalError:  # a lock, a full disk or missing permissions
        return True
    except sqlite3.DatabaseError:
        return False
    return True


def use_write_ahead_log(path: Path) -> None:
    """Create a SQLite database with a write-ahead log: a commit waits for the disk once, not three times."""
    with contextlib.closing(sqlite3.connect(path, timeout=60)) as connection:
        connection.execute("pragma journal_mode = wal")


def commit_without_waiting(connection: Any, _: Any) -> None:
    """For SQLAlchemy's event `connect`: SQLite waits for the disk at checkpoints only.

    A killed process loses nothing. A power cut may lose the last seconds, never the database.
    """
    if isinstance(connection, sqlite3.Connection):
        connection.execute("pragma synchronous = normal")


def _check_server(address: str, variable: str) -> None:
    import requests

    shown = _without_password(address)
    try:
        answer = requests.get(f"{address.rstrip('/')}{SEARCH}", timeout=CONNECT_TIMEOUT)
    except requests.RequestException as error:
        raise UserError(
            f"no MLflow server answers at {shown} ({variable}): {_first_line(error)}; nothing was run"
        ) from None
    if answer.status_code == 403 and "Invalid Host header" in answer.text:
        host = urlsplit(shown).netloc
        raise UserError(
            f"the MLflow server at {shown} ({variable}) refuses requests under this name: start it with "
            f"`--allowed-hosts {host}`; nothing was run"
        )
    if answer.status_code >= 500:
        raise UserError(f"the MLflow server at {shown} ({variable}) answers {answer.status_code}; nothing was run")


def _check_database(address: str, variable: str, table: str) -> None:
    import sqlalchemy

    shown = _without_password(address)
    postgresql = address.startswith("postgresql")
    try:
        engine = sqlalchemy.create_engine(
            address, connect_args={"connect_timeout": CONNECT_TIMEOUT} if postgresql else {}
        )
    except ImportError as error:
        raise UserError(
            f"{variable} names {shown}, whose driver is missing ({error.name or error}): "
            f"install it with `uv pip install {error.name or '<driver>'}`; the driver of PostgreSQL is installed"
        ) from None
    except sqlalchemy.exc.ArgumentError as error:
        raise UserError(
            f"{variable}: expected the address of a database, received {shown} ({_first_line(error)})"
        ) from None
    try:
        with engine.connect() as connection:
            exists = sqlalchemy.inspect(connection).has_table(table)
            can_create = exists or not postgresql or connection.scalar(sqlalchemy.text(
                "select has_schema_privilege(current_user, current_schema(), 'CREATE')"
            ))  # fmt: skip
            user = connection.engine.url.username
    except sqlalchemy.exc.DBAPIError as error:
        raise UserError(f"{variable}: {shown} cannot be used: {_first_line(error.orig)}; nothing was run") from None
    finally:
        engine.dispose()
    if not can_create:
        raise UserError(
            f"{variable}: the user {user!r} may not create tables in {shown}; nothing was run. Run as its owner: "
            f"grant create on schema public to {user}"
        )


@contextlib.contextmanager
def failures_explained() -> Iterator[None]:
    """Turn the errors of a full disk, or of a server that stopped answering, into one message."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        explanation = _explanation(error)
        if explanation is None:
            raise
        raise UserError(f"{explanation}; finished trials are kept, and the same command continues") from None


def is_disk_full(error: BaseException) -> bool:
    """Whether an error, or one that led to it, comes from a disk without room."""
    free = _free_megabytes()
    return any(
        # SQLite reports an I/O error if a full disk has no room for its temporary files.
        DISK_FULL.search(str(cause))
        or ("disk I/O error" in str(cause) and free < 1)
        or getattr(cause, "errno", None) in (errno.ENOSPC, errno.EDQUOT)
        for cause in _causes(error)
    )


def _explanation(error: BaseException) -> str | None:
    if is_disk_full(error):
        return f"the disk is full ({_free_megabytes():.1f} MB are left for {var()}): free some space"
    for cause in _causes(error):
        if type(cause).__module__.startswith(("psycopg", "requests")):
            return f"a server stopped answering ({_first_line(cause)}): check that it runs"
        if "readonly database" in str(cause):
            return "a database cannot be written to (it is read-only): give this user the right to write its file"
    return None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _free_megabytes() -> float:
    return shutil.disk_usage(var() if var().exists() else var().parent).free / 2**20


def _without_password(address: str) -> str:
    parts = urlsplit(address)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def _first_line(error: BaseException | None) -> str:
    """The first line of a library's message."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
