"""Where a result comes from: its study, its code, its machine."""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from importlib.metadata import version

from filelock import FileLock, Timeout

from pipeline.paths import var


def optuna_storage() -> str:
    """`OPTUNA_STORAGE`, or a SQLite database in `var/`."""
    var().mkdir(parents=True, exist_ok=True)
    return os.environ.get("OPTUNA_STORAGE") or f"sqlite:///{var() / 'optuna.db'}"


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def git_revision() -> str:
    """The commit, with `-dirty` where files differ from it; `unknown` outside a repository."""
    described = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
        capture_output=True,
        text=True,
        check=False,
    )
    return described.stdout.strip() or "unknown"


def versions(*packages: str) -> dict[str, str]:
    return {package: version(package) for package in packages}


@contextlib.contextmanager
def file_lock(name: str, busy: str) -> Iterator[None]:
    """Hold what has this name for one process at a time; a second one says that it is `busy`, by whom, and waits."""
    path = var() / "locks" / f"{name}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        holder = path.with_suffix(".holder")
        who = f"process {holder.read_text()}" if holder.exists() else "another process"
        print(f"  {busy} by {who}; waiting for it to end", flush=True)
        lock.acquire()
    path.with_suffix(".holder").write_text(str(os.getpid()))
    try:
        yield
    finally:
        path.with_suffix(".holder").unlink(missing_ok=True)
        lock.release()
