"""Which learning rate to begin with: a curve, and the rate ten times below its turning point."""

import argparse
import tempfile
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
    from models.training.runtime import use_threads  # first: imports TensorFlow quietly  # isort: skip
    from contracts.settings.space_problems import corner_specs
    from models.training.lr_range import lr_range, suggestion
    from pipeline.data.training_data import write_training_data
    from pipeline.evaluation import plots

    use_threads(0)
    spec = corner_specs(params.search.space)[0]
    with tempfile.TemporaryDirectory() as folder:
        train = write_training_data(paths, Path(folder)).split("train")
        schema = load_schema(paths.prepared / "schema.json")
        rates, losses = lr_range(spec, schema, train, params.search.seed)
    best = suggestion(rates, losses)
    picture = plots.save(plots.lr_range(rates, losses, best), paths.search_plots / "lr_range.png")
    print(f"{chosen.dataset}: begin with learning_rate {best:.2g} ({spec.optimizer}); the curve: {picture}")
