"""TensorBoard over the learning curves of every tracked trial: a folder per run, one server for all."""

import argparse
import subprocess
import sys
from pathlib import Path

from contracts.errors import UserError
from contracts.settings.load import load_params
from pipeline.paths import var


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dataset")
    parser.add_argument("--port", type=int, default=6006)


def run(chosen: argparse.Namespace) -> int:
    load_params(Path("params.yaml"), chosen.dataset)
    folder = var() / "tensorboard" / chosen.dataset
    n_runs = _write(chosen.dataset, folder)
    if not n_runs:
        raise UserError(
            f"there are no finished trials of {chosen.dataset} yet: run `make repro DATASETS={chosen.dataset}` first"
        )
    print(f"{chosen.dataset}: the curves of {n_runs} trials are in {folder}", flush=True)
    print(f"TensorBoard: http://127.0.0.1:{chosen.port} (Ctrl-C ends it)", flush=True)
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(folder), "--port", str(chosen.port)]
    # Its own greeting, and what it says about TensorFlow, would hide ours.
    return subprocess.run([*command, "--host", "127.0.0.1"], stderr=subprocess.DEVNULL, check=False).returncode


def _write(dataset: str, folder: Path) -> int:
    """Write the curves of the trials that are not in the folder yet; how many there are."""
    from models.training.formats import write_events
    from pipeline.tracking import runs

    client, experiment = runs.connect(dataset)
    ended = {name: curves for name, curves in runs.learning_curves(client, experiment) if curves}
    for name, curves in ended.items():
        if not (folder / name).exists():
            write_events(curves, folder / name)
    return len(ended)
