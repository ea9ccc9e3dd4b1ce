"""Atomic writes, hashes, copies of modules, and how long a field of a text file may be."""

import contextlib
import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

LONGEST_FIELD = 2**24  # signs of a field of CSV; by Python's own limit of 131,072 some documents are refused


def unfinished_path(path: Path) -> Path:
    """Where `write_atomically` writes before the file has its name."""
    return path.with_name(f"unfinished-{path.name}")


@contextlib.contextmanager
def write_atomically(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`, and rename it to `path` after the block, once its content is on disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = unfinished_path(path)
    try:
        yield unfinished
        with unfinished.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def md5(path: Path) -> str:
    """The hash that `dvc.lock` contains for the same file."""
    return _digest(path, "md5")


def sha256(path: Path) -> str:
    return _digest(path, "sha256")


def copy_modules(modules: tuple[str, ...], target: Path) -> list[Path]:
    """Copy modules below `target`, each in the folder of its package; returns the folders of the top-level packages."""
    for module in modules:
        (target / module).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(module, target / module)
    return sorted({target / Path(module).parts[0] for module in modules})


def _digest(path: Path, algorithm: str) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()
