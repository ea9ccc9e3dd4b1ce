"""Locks: one process of this project holds a name at a time, and one search on any machine holds a study."""

import contextlib
import hashlib
import os
import socket
from collections.abc import Iterator

from filelock import FileLock, Timeout

from pipeline.paths import var
from pipeline.tracking.databases import CONNECT_TIMEOUT


@contextlib.contextmanager
def file_lock(name: str, busy: str) -> Iterator[None]:
    """Hold the lock of a name; while another process holds it, print `busy` with its id, and wait."""
    path = var() / "locks" / f"{name}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    holder, lock = path.with_suffix(".holder"), FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        process = f"process {holder.read_text()}" if holder.exists() else "another process"
        print(f"  {busy} by {process}; waiting for it to end", flush=True)
        lock.acquire()
    holder.write_text(str(os.getpid()))
    try:
        yield
    finally:
        holder.unlink(missing_ok=True)
        lock.release()


@contextlib.contextmanager
def study_lock(address: str, study: str) -> Iterator[None]:
    """Hold a study for one search: among all machines if it is in PostgreSQL, else on this machine."""
    busy = f"study {study} is being searched"
    if not address.startswith("postgresql"):
        with file_lock(study, busy):
            yield
        return
    import sqlalchemy

    digest = hashlib.sha256(study.encode()).digest()
    key = {"high": int.from_bytes(digest[:3], "big"), "low": int.from_bytes(digest[3:6], "big")}
    name = f"search {socket.gethostname()[:40]}, process {os.getpid()}"
    connect_args = {"application_name": name, "connect_timeout": CONNECT_TIMEOUT}
    engine = sqlalchemy.create_engine(address, poolclass=sqlalchemy.NullPool, connect_args=connect_args)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        if not connection.scalar(sqlalchemy.text("select pg_try_advisory_lock(:high, :low)"), key):
            holder = connection.scalar(sqlalchemy.text(
                "select application_name from pg_stat_activity join pg_locks using (pid) where locktype = 'advisory' "
                "and granted and classid = :high and objid = :low limit 1"
            ), key)  # fmt: skip
            print(f"  {busy} by {holder}; waiting for it to end", flush=True)
            connection.execute(sqlalchemy.text("select pg_advisory_lock(:high, :low)"), key)
        yield
