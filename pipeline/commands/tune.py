"""Search further: DVC's own way to set a parameter, then the stages after it. No second code path."""

import argparse
import subprocess
from pathlib import Path

from pipeline.errors import UserError
from pipeline.params import load_datasets, load_params


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dataset")
    parser.add_argument("trials", nargs="?", help="how many trials the study is to have in all")


def run(chosen: argparse.Namespace) -> int:
    params = load_params(Path("params.yaml"), chosen.dataset)
    if chosen.trials is None or not chosen.trials.isdigit() or int(chosen.trials) < 1:
        raise UserError(
            f"TRIALS: expected how many trials the study of {chosen.dataset} is to have in all, at least 1 "
            f"(now {params.search.n_trials}), received {chosen.trials!r}: make tune DATASET={chosen.dataset} TRIALS=50"
        )
    settings = ["-S", f"++overrides.{chosen.dataset}.search.n_trials={chosen.trials}"]
    datasets = load_datasets(Path("params.yaml"))
    if chosen.dataset not in datasets:
        settings += ["-S", f"datasets=[{','.join([*datasets, chosen.dataset])}]"]
    targets = [f"{stage}@{chosen.dataset}" for stage in ("evaluate", "package")]
    print(f"overrides.{chosen.dataset}.search.n_trials is {chosen.trials} in params.yaml from now on.", flush=True)
    return subprocess.run(["dvc", "exp", "run", *settings, *targets], check=False).returncode
