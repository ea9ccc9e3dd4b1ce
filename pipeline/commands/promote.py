"""Serve a registered version again: move the alias `champion`, and evaluate and package that version."""

import argparse
import json
import shutil
import subprocess
import tempfile
from pathlib import Path

from contracts.errors import UserError
from contracts.settings.load import load_params
from pipeline.paths import Paths


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dataset")
    parser.add_argument("version", nargs="?", help="a version of the registered model; none lists them")


def run(chosen: argparse.Namespace) -> int:
    from pipeline.tracking import registry, runs

    dataset, paths = chosen.dataset, Paths(chosen.dataset)
    load_params(Path("params.yaml"), dataset)
    client, _ = runs.connect(dataset)
    versions, present = registry.versions(client, dataset), registry.champion(client, dataset)
    if chosen.version not in versions:
        listed = ", ".join(f"{v} (champion)" if v == present else v for v in versions) or "none yet"
        raise UserError(
            f"expected a version of {dataset}, one of: {listed}; received {chosen.version!r}: "
            f"make promote DATASET={dataset} VERSION=1"
        )
    if not paths.selection.exists():
        raise UserError(f"{paths.selection} is missing: run `make repro` first")
    with tempfile.TemporaryDirectory() as scratch:
        bundle = registry.download_bundle(dataset, chosen.version, Path(scratch))
        shutil.rmtree(paths.bundle, ignore_errors=True)
        shutil.copytree(bundle, paths.bundle)
    selection = json.loads(paths.selection.read_text())
    selection |= {
        "winner": f"version {chosen.version}",
        "version": chosen.version,
        "is_new": False,
        "reason": f"promoted by hand, in the place of version {present}",
    }
    paths.selection.write_text(json.dumps(selection, indent=2) + "\n", encoding="utf-8")
    registry.set_champion_alias(client, dataset, chosen.version)
    print(f"Version {chosen.version} of {dataset} is the champion again (before: {present}).", flush=True)
    # DVC is told that this is what `select` leaves now, and to run no stage before it, which would undo it.
    subprocess.run(["dvc", "commit", "--force", f"select@{dataset}"], check=True)
    return subprocess.run(
        ["dvc", "repro", "--single-item", f"evaluate@{dataset}", f"package@{dataset}"], check=False
    ).returncode
