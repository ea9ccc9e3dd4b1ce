"""Files of this machine in a store that other machines reach, each under the SHA-256 of its content."""

import contextlib
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from fsspec.implementations.local import LocalFileSystem

from contracts.errors import UserError
from contracts.files import sha256, write_atomically
from pipeline.sources.download import SourceFailed, open_store, retry, source_errors

SETTING = "search.storage"


@dataclass(frozen=True)
class Store:
    """A folder of an object store or of a shared file system.

    Args:
        timeout: seconds without a byte after which the store counts as stalled.
        attempts: for each file, as long as another attempt can help.
    """

    address: str
    timeout: float
    attempts: int

    def put(self, files: Mapping[str, Path]) -> tuple[str, Callable[[Path, Path], None]]:
        """Copy the files that the store lacks. The result can be sent to another machine.

        Returns:
            a name for the files and their content, and what writes them to a folder, from a folder for each content.

        Raises:
            UserError: with the reasons, if the store refuses a file.
        """
        digests = {name: sha256(file) for name, file in files.items()}
        for name, file in files.items():
            try:
                failures = self._ask(partial(_put, file, digests[name]))
            except OSError as error:  # a full or read-only disk
                failures = [str(error)]
            if failures:
                expected = f"{SETTING}: expected a store that takes {name}, received {self.address}"
                raise UserError("\n  ".join([expected, *failures]))
        return hashlib.sha256(repr(sorted(digests.items())).encode()).hexdigest(), partial(self._get, digests)

    def _get(self, digests: Mapping[str, str], folder: Path, contents: Path) -> None:
        for name, digest in digests.items():
            content = contents / digest
            if not content.exists() and (failures := self._ask(partial(_get, digest, content))):
                raise UserError("\n  ".join([f"{SETTING}: expected {name} in {self.address}", *failures]))
            os.link(content, folder / name)

    def _ask(self, call: Callable[[Any, str], None]) -> list[str]:
        def ask() -> None:
            with source_errors(self.address, self.timeout):
                call(*open_store(self.address, self.timeout))

        return retry(self.address, self.attempts, ask)


def _put(file: Path, digest: str, store: Any, folder: str) -> None:
    """Write a file as a whole or not at all, as object stores do; in a folder this needs a rename."""
    path = f"{folder}/{digest}"
    with contextlib.suppress(FileNotFoundError):
        if store.info(path)["size"] == file.stat().st_size:
            return
    if not isinstance(store, LocalFileSystem):
        return store.put_file(str(file), path)
    with write_atomically(Path(path)) as unfinished:
        shutil.copyfile(file, unfinished)


def _get(digest: str, content: Path, store: Any, folder: str) -> None:
    with tempfile.TemporaryDirectory(dir=content.parent) as scratch:
        unfinished = Path(scratch) / digest
        store.get_file(f"{folder}/{digest}", str(unfinished))
        if sha256(unfinished) != digest:
            raise SourceFailed(f"expected content with sha256 {digest[:12]}…, received other content", False)
        unfinished.replace(content)
