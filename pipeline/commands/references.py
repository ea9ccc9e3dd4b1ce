"""Train scikit-learn's models on the same split, log each as a run, and show their validation figures."""

import argparse
import time
from pathlib import Path

from contracts.errors import UserError
from contracts.schema import load_schema
from contracts.settings.load import load_params
from pipeline.paths import Paths


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dataset")


def run(chosen: argparse.Namespace) -> None:
    params, paths = load_params(Path("params.yaml"), chosen.dataset), Paths(chosen.dataset)
    if not (paths.prepared / "schema.json").exists():
        raise UserError(f"{paths.prepared} is missing: run `dvc repro preprocess@{chosen.dataset}` first")
    from pipeline.data.splits import read_part
    from pipeline.evaluation.references import fit_and_score, references
    from pipeline.tracking import runs

    schema = load_schema(paths.prepared / "schema.json")
    train, validation = (read_part(paths.prepared / f"{part}.parquet", schema) for part in ("train", "validation"))
    client, experiment = runs.connect(params.dataset)
    for name, model in references(schema).items():
        started = int(time.time() * 1000)
        values = fit_and_score(schema, model, train, validation)
        runs.log_baseline(client, experiment, name, started, values)
        figures = ", ".join(f"{key} {value:.4g}" for key, value in values.items())
        print(f"{chosen.dataset}: {name}: {figures}", flush=True)
