"""The champion in the formats of other tools: SavedModel, weights alone, architecture alone."""

import argparse
from pathlib import Path

from contracts.errors import UserError
from contracts.settings.load import load_params
from pipeline.paths import Paths


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dataset")
    parser.add_argument("folder", nargs="?", type=Path, help="a new folder; by default artifacts/<dataset>/export")


def run(chosen: argparse.Namespace) -> None:
    from contracts.bundle import BundleDamaged, open_bundle

    load_params(Path("params.yaml"), chosen.dataset)
    paths = Paths(chosen.dataset)
    folder = chosen.folder or paths.bundle.with_name("export")
    try:
        open_bundle(paths.bundle)
    except BundleDamaged as error:
        raise UserError(f"{error}; run `dvc repro select@{chosen.dataset}` first") from None
    if folder.exists() and any(folder.iterdir()):
        raise UserError(f"OUT: expected a new or an empty folder, received {folder}, which has files in it")
    from models.training.formats import write_formats

    write_formats(paths.bundle / "model.keras", folder)
    print(f"{chosen.dataset}: {folder}/saved_model, model.weights.h5 and architecture.json of {paths.bundle}")
