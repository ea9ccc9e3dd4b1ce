"""references and lr-range: the metrics of other models, and a first learning rate."""

import tempfile
import time
from pathlib import Path

import typer

from contracts.errors import UserError
from contracts.schema import load_schema
from contracts.settings.load import Params, load_params
from pipeline.paths import Paths

app = typer.Typer()


def _prepared(dataset: str) -> tuple[Params, Paths]:
    params, paths = load_params(Path("params.yaml"), dataset), Paths(dataset)
    if paths.missing:
        raise UserError(f"{paths.missing} is missing: run `make repro DATASETS={dataset}` first")
    return params, paths


@app.command()
def references(dataset: str) -> None:
    """Train linear models, trees and scikit-learn's MLP on the same split, each as a run of the same experiment.

    CatBoost, LightGBM and XGBoost are trained too if they are installed.
    """
    _, paths = _prepared(dataset)
    from contracts.files import md5
    from pipeline.data.splits import read_part
    from pipeline.evaluation.references import fit_and_score
    from pipeline.evaluation.references import references as reference_models
    from pipeline.tracking import runs

    schema = load_schema(paths.prepared / "schema.json")
    train, validation = (read_part(paths.prepared / f"{part}.parquet", schema) for part in ("train", "validation"))
    client, experiment = runs.connect(dataset)
    validation_md5 = md5(paths.prepared / "validation.parquet")
    for name, model in reference_models(schema).items():
        started = int(time.time() * 1000)
        values = fit_and_score(schema, model, train, validation)
        runs.log_baseline(client, experiment, name, started, values, validation_md5)
        figures = ", ".join(f"{key} {value:.4g}" for key, value in values.items())
        print(f"{dataset}: {name}: {figures}", flush=True)


@app.command("lr-range")
def learning_rate_range(dataset: str) -> None:
    """Learning rate range test: a curve, and the rate ten times below its turning point."""
    params, paths = _prepared(dataset)
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
    print(f"{dataset}: begin with learning_rate {best:.2g} ({spec.optimizer}); the curve: {picture}")
