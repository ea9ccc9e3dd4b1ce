"""Compressed files, read as a stream with limits: a file of kilobytes may hold more than a disk does."""

import functools
import gzip
import io
import lzma
import os
import resource
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa

from contracts.errors import UserError

ENDINGS = (".gz", ".bz2", ".xz", ".zst", ".zip")
MOST_BYTES = 4 * 2**30  # bytes of a file after decompression
MOST_RATIO = 200  # ratio of the content to its file; tables reach 5 to 30
ANY_RATIO = 64 * 2**20  # bytes of content up to which any ratio is allowed
MEMORY, MEMORY_RATIO = 8 * 2**30, 20  # bytes of memory for the rows of a file, or for each byte of the file
DAMAGED = (OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile)


def kind_of(name: str) -> str:
    """The ending of a file's name in lower case, without that of a compressed file."""
    return Path(name.removesuffix(next((ending for ending in ENDINGS if name.endswith(ending)), ""))).suffix.lower()


def memory_of(n_bytes: int) -> int:
    """The bytes of memory that the rows of a file of `n_bytes` may take."""
    return max(MEMORY, MEMORY_RATIO * n_bytes)


def too_large(name: str, most: int) -> UserError:
    """The error of a file whose rows take more than `most` bytes of memory."""
    expected = f"rows that take at most {most / 2**30:.1f} GiB of memory"
    return UserError(f"{name} cannot be read: expected {expected}, received more")


@contextmanager
def limited_memory(most: int) -> Iterator[None]:
    """Limit the additional memory of this process to `most` bytes in this context; only Linux enforces it."""
    statm, limits = Path("/proc/self/statm"), resource.getrlimit(resource.RLIMIT_AS)
    if not statm.exists() or limits[0] != resource.RLIM_INFINITY:
        yield
        return
    taken = int(statm.read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + most, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)


def read_chunks(read: Callable[[int], bytes], compressed: int, most: int = MOST_BYTES) -> Iterator[bytes]:
    """The content of a file of `compressed` bytes, in chunks of `read`, until a limit is passed.

    Raises:
        ValueError: if there is more content than `most`, or than `MOST_RATIO` allows.
    """
    limit, total = min(most, max(ANY_RATIO, MOST_RATIO * compressed)), 0
    while chunk := read(2**20):
        total += len(chunk)
        if total > limit:
            raise ValueError(f"expected at most {limit // 2**20:,} MiB after decompression, received more")
        yield chunk


def decompress(name: str, content: bytes) -> bytes:
    """The content of a file whose name has the ending of a compressed one (the only member of a zip archive); else the
    unchanged bytes.

    Raises:
        UserError: if the file is not what its name says, or is too large.
    """
    if not name.endswith(ENDINGS):
        return content
    try:
        with open_compressed(name, io.BytesIO(content)) as file:
            return b"".join(read_chunks(functools.partial(_read, file), len(content)))
    except (*DAMAGED, pa.ArrowException) as error:
        raise UserError(f"{name} is not what its ending says, or is damaged: {error}") from None
    except (ValueError, RuntimeError) as error:  # a limit of ours, or zipfile's error for encryption and rare methods
        raise UserError(f"{name} cannot be decompressed: {error}") from None


def _read(file: Any, size: int) -> bytes:
    """Read from a stream into own memory, because PyArrow's `read` of a damaged stream never frees its buffer."""
    return file.read_buffer(size).to_pybytes() if isinstance(file, pa.NativeFile) else file.read(size)


def open_compressed(name: str, file: BinaryIO) -> Any:
    """The content of a file as a stream, by the ending of its name; of the only member for a zip archive."""
    if name.endswith(".gz"):
        return gzip.GzipFile(fileobj=file)
    if name.endswith(".xz"):
        return lzma.LZMAFile(file)
    if not name.endswith(".zip"):
        return pa.CompressedInputStream(pa.PythonFile(file, "r"), "zstd" if name.endswith(".zst") else "bz2")
    archive = zipfile.ZipFile(file)
    members = [member for member in archive.namelist() if not member.endswith("/")]
    members = [member for member in members if not member.startswith("__MACOSX/")]  # what macOS adds to each file
    if len(members) != 1:
        raise ValueError(f"expected one file in the archive, received {len(members)}")
    return archive.open(members[0])


@contextmanager
def opened(path: str) -> Iterator[Any]:
    """The content of a file, compressed or not, as a stream.

    Raises:
        UserError: if it cannot be opened or is damaged, also while it is read.
    """
    name = Path(path).name
    try:
        with open(path, "rb") as file:
            if not name.endswith(ENDINGS):
                yield file
                return
            most = max(ANY_RATIO, MOST_RATIO * os.fstat(file.fileno()).st_size)
            with open_compressed(name, file) as content:
                yield io.BufferedReader(_Limited(content, most), 2**20)
    except pa.ArrowInvalid:
        raise
    except (*DAMAGED, pa.ArrowException) as error:
        raise UserError(f"{name} is not what its ending says, or is damaged: {error}") from None
    except (ValueError, RuntimeError) as error:
        if isinstance(error, UnicodeDecodeError | UserError):
            raise
        raise UserError(f"{name} cannot be decompressed: {error}") from None


class _Limited(io.RawIOBase):
    """A stream that ends with an error after `most` bytes."""

    def __init__(self, file: Any, most: int) -> None:
        self.file, self.most, self.total = file, most, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        content = _read(self.file, len(buffer))
        self.total += len(content)
        if self.total > self.most:
            raise ValueError(f"expected at most {self.most // 2**20:,} MiB after decompression, received more")
        buffer[: len(content)] = content
        return len(content)
