"""The packaged Bento on this machine, as BentoML serves it."""

import argparse
import os
from pathlib import Path

from contracts.errors import UserError
from contracts.settings.load import load_params
from pipeline.paths import Paths, var


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dataset")
    parser.add_argument("--port", type=int, default=3000)
    parser.add_argument("--host", default="127.0.0.1")


def run(chosen: argparse.Namespace) -> None:
    load_params(Path("params.yaml"), chosen.dataset)
    bento = Paths(chosen.dataset).bento
    if not bento.exists():
        raise UserError(f"{bento} is missing: run `make repro DATASETS={chosen.dataset}` first")
    folder = unpacked(bento, var() / "serving" / chosen.dataset)
    print(f"{chosen.dataset}: http://{chosen.host}:{chosen.port} (Ctrl-C ends it), description at /docs", flush=True)
    # This process becomes the server, so that signals reach it.
    os.execvp("bentoml", ["bentoml", "serve", str(folder), "--host", chosen.host, "--port", str(chosen.port)])


def unpacked(bento: Path, folder: Path) -> Path:
    """The Bento's content in a folder of its own, as the file holds it now."""
    import shutil
    import tarfile

    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with tarfile.open(bento) as archive:
        archive.extractall(folder, filter="data")
    return folder
