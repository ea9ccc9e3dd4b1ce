"""A folder for all temporary files of a process that trains.

TensorFlow leaves a file for each function that it compiles, because the process of a trial ends without Python's
clean-up; a process that is killed leaves its socket and the rows of the search.
"""

import contextlib
import fcntl
import functools
import os
import shutil
import tempfile
from multiprocessing import util
from pathlib import Path
from typing import IO

PREFIX = "mlp-search-"
LOCK = "lock"


@functools.cache
def use_own_folder() -> Path:
    """Put all temporary files of this process and of the processes it starts in a folder that is removed at its end.

    Folders of killed processes, whose locks are free, are removed now.
    """
    home = Path(tempfile.gettempdir())
    for left in home.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError), _locked(left):  # else the folder is in use, or belongs to another user
            shutil.rmtree(left)
    unnamed = Path(tempfile.mkdtemp(prefix="new-"))
    (unnamed / LOCK).touch()
    lock = _locked(unnamed)
    folder = unnamed.rename(home / unnamed.name.replace("new-", PREFIX))  # only after locking it
    os.environ["TMPDIR"] = tempfile.tempdir = str(folder)
    # After multiprocessing has removed its own folder in this one, with priority -100.
    util.Finalize(None, _remove, args=(folder, lock), exitpriority=-101)
    return folder


def _locked(folder: Path) -> IO[str]:
    """The lock of a folder, held until it is closed or this process ends.

    Raises:
        OSError: if there is no lock file, or another process holds it.
    """
    file = (folder / LOCK).open("r+")
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return file


def _remove(folder: Path, lock: IO[str]) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    lock.close()
