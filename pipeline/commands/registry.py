"""promote, export and retrain: what is done with a version of a registered model."""

import json
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from contracts.errors import UserError
from contracts.settings.load import load_params
from pipeline.dvc_cli import run_dvc, working_copy
from pipeline.paths import Paths

PARAMS = Path("params.yaml")
app = typer.Typer()


@app.command()
def promote(dataset: str, version: Annotated[str | None, typer.Argument(help="none lists them")] = None) -> None:
    """Serve a registered version again: move the alias `champion`, then evaluate and package that version."""
    from pipeline.tracking import registry, runs

    load_params(PARAMS, dataset)
    paths = Paths(dataset)
    client, _ = runs.connect(dataset)
    versions, present = registry.versions(client, dataset), registry.champion(client, dataset)
    if version not in versions:
        listed = ", ".join(f"{v} (champion)" if v == present else v for v in versions) or "none yet"
        raise UserError(
            f"expected a version of {dataset}, one of: {listed}; received {version!r}: "
            f"make promote DATASET={dataset} VERSION=1"
        )
    if not paths.selection.exists():
        raise UserError(f"{paths.selection} is missing: run `make repro DATASETS={dataset}` first")
    with working_copy():
        with tempfile.TemporaryDirectory() as scratch:
            bundle = registry.download_bundle(dataset, version, Path(scratch))
            shutil.rmtree(paths.bundle, ignore_errors=True)
            shutil.copytree(bundle, paths.bundle)
        selection = json.loads(paths.selection.read_text())
        selection |= {
            "winner": f"version {version}",
            "version": version,
            "is_new": False,
            "reason": f"promoted by hand, in the place of version {present}",
        }
        paths.selection.write_text(json.dumps(selection, indent=2) + "\n", encoding="utf-8")
        registry.set_champion_alias(client, dataset, version)
        print(f"Version {version} of {dataset} is the champion again (before: {present}).", flush=True)
        # DVC is told that this is what `select` leaves now, and to run no stage before it, which would undo it.
        code = run_dvc([dataset], "commit", "--force", f"select@{dataset}") or run_dvc(
            [dataset], "repro", "--single-item", f"evaluate@{dataset}", f"package@{dataset}"
        )
    raise typer.Exit(code)


@app.command()
def export(
    dataset: str,
    folder: Annotated[Path | None, typer.Argument(help="a new folder; by default artifacts/<dataset>/export")] = None,
) -> None:
    """Write the champion as SavedModel, weights alone and architecture alone."""
    from contracts.bundle import BundleDamaged, open_bundle

    load_params(PARAMS, dataset)
    paths = Paths(dataset)
    folder = folder or paths.bundle.with_name("export")
    try:
        open_bundle(paths.bundle)
    except BundleDamaged as error:
        raise UserError(f"{error}; run `make repro DATASETS={dataset}` first") from None
    if folder.exists() and any(folder.iterdir()):
        raise UserError(f"OUT: expected a new or an empty folder, received {folder}, which has files in it")
    from models.training.formats import write_formats

    write_formats(paths.bundle / "model.keras", folder)
    print(f"{dataset}: {folder}/saved_model, model.weights.h5 and architecture.json of {paths.bundle}")


@app.command()
def retrain(dataset: str) -> None:
    """Train the winner again from its stored settings: the validation figure must be the same."""
    from models.search.workers.pool import Pool

    params, paths = load_params(PARAMS, dataset), Paths(dataset)
    with Pool() as pool, tempfile.TemporaryDirectory() as scratch:
        from contracts.bundle import BundleDamaged, open_bundle
        from contracts.files import md5
        from contracts.metrics import BY_NAME
        from pipeline.data.training_data import write_training_data
        from pipeline.search.plan import make_plan

        try:
            manifest, _ = open_bundle(paths.bundle)
        except BundleDamaged as error:
            raise UserError(f"{error}; run `make repro DATASETS={dataset}` first") from None
        if manifest.train_md5 != md5(paths.prepared / "train.parquet"):
            raise UserError(
                f"the winner was trained on other rows than {paths.prepared / 'train.parquet'} holds: "
                f"run `make repro DATASETS={dataset}` first"
            )
        metric = BY_NAME[manifest.metric]
        plan = replace(make_plan(params, paths), metric=metric)
        data = write_training_data(paths, Path(scratch))
        task = plan.trial_task(data, manifest.hyperparameters, manifest.seed, manifest.threads)
        print(f"Training trial {manifest.trial} of {manifest.study} again …", flush=True)
        pool.start(None, "train", task, Path(scratch) / "model.keras")
        again = pool.result().value
    before = manifest.validation[metric.name]
    same = again == before
    print(f"validation {metric.name}: {before!r} before, {again!r} now: {'the same' if same else 'NOT the same'}")
    raise typer.Exit(0 if same else 1)
