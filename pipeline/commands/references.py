"""Train scikit-learn's models on the same split, log each as a run, and show their validation figures."""

import argparse
import time
from pathlib import Path

from pipeline.errors import UserError
from pipeline.params import load_params
from pipeline.paths import Paths
from pipeline.schema import load_schema


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dataset")


def run(chosen: argparse.Namespace) -> None:
    params, paths = load_params(Path("params.yaml"), chosen.dataset), Paths(chosen.dataset)
    if not (paths.prepared / "schema.json").exists():
        raise UserError(f"{paths.prepared} is missing: run `dvc repro preprocess@{chosen.dataset}` first")
    from pipeline import tracking
    from pipeline.references import fit_and_score, references
    from pipeline.splits import read_part

    schema = load_schema(paths.prepared / "schema.json")
    train, validation = (read_part(paths.prepared / f"{part}.parquet", schema) for part in ("train", "validation"))
    client, experiment = tracking.connect(params.dataset)
    for name, model in references(schema).items():
        started = int(time.time() * 1000)
        values = fit_and_score(schema, model, train, validation)
        tracking.log_baseline(client, experiment, name, started, values)
        figures = ", ".join(f"{key} {value:.4g}" for key, value in values.items())
        print(f"{chosen.dataset}: {name}: {figures}", flush=True)
