"""The file of a packaged Bento, and its content."""

import lzma
import shutil
import tarfile
import zlib
from pathlib import Path

from contracts.bundle import BundleDamaged, check_bundle
from contracts.errors import UserError
from pipeline.paths import Paths


def packaged_bento(paths: Paths) -> Path:
    """The Bento of a dataset.

    Raises:
        UserError: there is none.
    """
    if not paths.bento.exists():
        raise UserError(f"{paths.bento} is missing: run `make repro DATASETS={paths.dataset}` first")
    return paths.bento


def unpack(bento: Path, dataset: str, folder: Path) -> None:
    """Unpack a Bento into a new folder; refused if it is damaged, or holds the model of another dataset."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    again = f"run `make repro DATASETS={dataset}` after `rm {bento}`"
    try:
        with tarfile.open(bento) as archive:
            _extract(archive, folder)
        received = check_bundle(folder / "src/bundle").dataset
    except (tarfile.TarError, EOFError, OSError, ValueError, zlib.error, lzma.LZMAError, BundleDamaged) as error:
        raise UserError(f"{bento} is damaged: {str(error).partition(chr(10))[0]}; {again}") from None
    if received != dataset:
        raise UserError(f"{bento}: expected a model of {dataset}, received one of {received}; {again}")


def _extract(archive: tarfile.TarFile, folder: Path) -> None:
    """Unpack an archive whose members stay in the folder.

    Raises:
        tarfile.TarError: a member leads out of the folder, or is not a file.
    """
    if hasattr(tarfile, "data_filter"):
        archive.extractall(folder, filter="data")
        return
    for member in archive:  # Python 3.11.0 to 3.11.3 have no filter
        is_inside = (folder / member.name).resolve().is_relative_to(folder.resolve())
        if not is_inside or not (member.isfile() or member.isdir()):
            raise tarfile.TarError(f"{member.name} leads out of the archive, or is not a file")
    archive.extractall(folder)  # noqa: S202 - each member is checked above
