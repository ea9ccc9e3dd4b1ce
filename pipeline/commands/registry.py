"""promote, approve, export and retrain: commands for a version of a registered model."""

import json
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from contracts.bundle import BundleDamaged, open_bundle
from contracts.errors import UserError
from contracts.files import write_atomically
from contracts.records import read_object
from contracts.schema import Schema, load_schema
from contracts.settings.load import load_params
from pipeline.dvc_cli import run_dvc, working_copy
from pipeline.paths import Paths

PARAMS = Path("params.yaml")
Note = Annotated[str, typer.Option(help="the reason, which is recorded")]
Force = Annotated[bool, typer.Option("--force", help="approve although a gate failed; this is recorded")]
app = typer.Typer()


@app.command()
def promote(
    dataset: str,
    version: Annotated[str | None, typer.Argument(help="by default the versions are listed")] = None,
    note: Note = "",
    force: Force = False,
) -> None:
    """Serve a registered version again: move the alias `champion`, then evaluate and package that version."""
    _serve(dataset, version, note, force, f"make promote DATASET={dataset} VERSION=1")


@app.command()
def approve(
    dataset: str,
    version: Annotated[str | None, typer.Argument(help="by default the versions are listed")] = None,
    note: Note = "",
    force: Force = False,
) -> None:
    """Serve the version that `select.approval: manual` has left as challenger; the note says why."""
    load_params(PARAMS, dataset)  # otherwise the message would repeat a wrong name
    if not note.strip():
        raise UserError(f'NOTE: expected why it is approved, received none: make approve DATASET={dataset} NOTE="…"')
    _serve(dataset, version, note, force, f'make approve DATASET={dataset} VERSION=1 NOTE="…"')


def _serve(dataset: str, version: str | None, note: str, force: bool, example: str) -> None:
    """Approve a version, write the outputs of `select` for it, evaluate it and package it."""
    from models.search.workers.process import signals_wait
    from pipeline.tracking import approval, databases, registry, runs

    load_params(PARAMS, dataset)
    paths = Paths(dataset)
    client, _ = runs.connect(dataset)
    present = registry.champion(client, dataset)
    if version is None or version not in registry.versions(client, dataset):
        raise UserError(f"{registry.expected_version(client, dataset, version)}: {example}")
    selection = read_object(paths.selection, "version")  # checked before anything changes
    with working_copy():
        with tempfile.TemporaryDirectory() as scratch:
            bundle = registry.download_bundle(dataset, version, Path(scratch))
            _check_fits(dataset, version, open_bundle(bundle)[1], paths)
            # Until DVC records the outputs of `select`, the next run would bring back those of another champion.
            with signals_wait():
                with databases.failures_explained():
                    approval.approve(client, dataset, version, present, note, force)
                shutil.rmtree(paths.bundle, ignore_errors=True)
                shutil.copytree(bundle, paths.bundle)
                ((_, record), *_) = approval.approvals(client, dataset, version)[::-1]
                selection |= {
                    "winner": f"version {version}",
                    "version": version,
                    "challenger": registry.with_alias(client, dataset, registry.CHALLENGER),
                    "is_new": False,
                    "reason": f"approved by {record}",
                }
                with write_atomically(paths.selection) as unfinished:
                    unfinished.write_text(json.dumps(selection, indent=2) + "\n", encoding="utf-8")
                before = f"before: {present}" if present else "there was none before"
                print(f"Version {version} of {dataset} is the champion ({before}), approved by {record}", flush=True)
                code = run_dvc([dataset], "commit", "--force", f"select@{dataset}")
        # No stage before them runs, which would undo it.
        code = code or run_dvc([dataset], "repro", "--single-item", f"evaluate@{dataset}", f"package@{dataset}")
    raise typer.Exit(code)


def _check_fits(dataset: str, version: str, known: Schema, paths: Paths) -> None:
    """Refuse a version that cannot be evaluated on the present data, before anything changes."""
    schema, rows = paths.prepared / "schema.json", paths.prepared / "validation.parquet"
    if not schema.exists() or not rows.exists():
        return
    import pyarrow.parquet as pq

    present, columns = load_schema(schema), pq.read_schema(rows).names
    kinds = {feature.name: feature.kind for feature in present.features}
    problems = [f"the column {feature.name} is gone" for feature in known.features if feature.name not in columns]
    problems += [
        f"{feature.name} was {feature.kind} and is {kinds[feature.name]} now"
        for feature in known.features
        if kinds.get(feature.name, feature.kind) != feature.kind
    ]
    problems += [f"the class {name} is new" for name in present.classes if name not in known.classes and known.classes]
    if known.task != present.task or (not known.classes and len(known.outputs) != len(present.outputs)):
        problems.append(f"it predicts {' and '.join(known.outputs)}")
    if problems:
        raise UserError(
            f"version {version} of {dataset} does not fit the present data: {'; '.join(problems)}. Nothing was "
            "changed: choose another version, or bring back its data"
        )


@app.command()
def export(
    dataset: str,
    folder: Annotated[Path | None, typer.Argument(help="a new folder; by default artifacts/<dataset>/export")] = None,
) -> None:
    """Write the champion as SavedModel, weights alone and architecture alone."""
    load_params(PARAMS, dataset)
    paths = Paths(dataset)
    folder = folder or paths.bundle.with_name("export")
    try:
        _, schema = open_bundle(paths.bundle)
    except BundleDamaged as error:
        raise UserError(f"{error}; run `make repro DATASETS={dataset}` first") from None
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"OUT: expected a new or an empty folder, received {folder}: {error.strerror}") from None
    if any(folder.iterdir()):
        raise UserError(f"OUT: expected a new or an empty folder, received {folder}, which has files in it")
    from models.training.formats import write_formats

    write_formats(paths.bundle / "model.keras", folder, schema.input_width)
    print(f"{dataset}: {folder}/saved_model, model.weights.h5 and architecture.json of {paths.bundle}")


@app.command()
def retrain(
    dataset: str, version: Annotated[str | None, typer.Argument(help="by default the winner of select")] = None
) -> None:
    """Train a winner again from its stored settings: the validation figure must be the same."""
    from contracts.files import md5
    from contracts.metrics import BY_NAME

    params, paths = load_params(PARAMS, dataset), Paths(dataset)
    with tempfile.TemporaryDirectory() as scratch:
        bundle = paths.bundle
        if version is not None:
            from pipeline.tracking import registry, runs

            client, _ = runs.connect(dataset)
            if version not in registry.versions(client, dataset):
                raise UserError(
                    f"{registry.expected_version(client, dataset, version)}: make retrain DATASET={dataset} VERSION=1"
                )
            bundle = registry.download_bundle(dataset, version, Path(scratch))
        try:
            manifest, schema = open_bundle(bundle)
        except BundleDamaged as error:
            raise UserError(f"{error}; run `make repro DATASETS={dataset}` first") from None
        rows = paths.prepared / "train.parquet"
        if not rows.exists() or manifest.train_md5 != md5(rows):
            received = "others" if rows.exists() else "none"
            raise UserError(
                f"expected the rows that the winner was trained on in {rows}, received {received}: "
                f"run `make repro DATASETS={dataset}` first"
            )
        if paths.missing:
            raise UserError(f"{paths.missing} is missing: run `make repro DATASETS={dataset}` first")
        if schema.levels != params.source.quantiles:
            known, asked = list(schema.levels), list(params.source.quantiles)
            raise UserError(f"data.quantiles: expected {known}, as of the winner, received {asked}")
        metric = BY_NAME[manifest.metric]
        from models.search.workers.pool import Pool

        with Pool() as pool:  # imports TensorFlow meanwhile
            from pipeline.data.training_data import write_training_data
            from pipeline.search.plan import make_plan

            plan = replace(make_plan(params, paths), metric=metric)
            search = plan.search
            data = write_training_data(paths, Path(scratch), search.validation_rows, search.seed, bool(plan.streams))
            print(f"Training {manifest.made_of} of {manifest.study} again …", flush=True)
            networks: list[Path] = []
            for one in manifest.members or manifest.teachers or (manifest,):
                task = plan.trial_task(data, one.hyperparameters, one.seed, one.threads)
                networks.append(Path(scratch) / f"{len(networks)}.keras")
                pool.start(None, "train", task, networks[-1])
                again = pool.result().value
            if parts := manifest.members or manifest.teachers:
                mean, shares = Path(scratch) / "model.keras", [member.share for member in parts]
                pool.start(None, "average", networks, shares, task, mean)
                again = pool.result().value
            if manifest.teachers:
                task = plan.trial_task(data, manifest.hyperparameters, manifest.seed, manifest.threads)
                pool.start(None, "train", replace(task, teacher=mean), Path(scratch) / "distilled.keras")
                again = pool.result().value
    before = manifest.validation[metric.name]
    same = again == before
    print(f"validation {metric.name}: {before!r} before, {again!r} now: {'the same' if same else 'NOT the same'}")
    raise typer.Exit(0 if same else 1)
