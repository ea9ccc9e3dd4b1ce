"""select: who is served, decided on validation alone."""

import json
import shutil
import tempfile
from pathlib import Path

import numpy as np

from contracts.bundle import BundleDamaged, Manifest
from contracts.errors import UserError
from contracts.metrics import BY_NAME
from contracts.schema import Schema, load_schema
from contracts.settings.load import Params
from pipeline.data.splits import read_part
from pipeline.evaluation.baselines import baseline_predictions
from pipeline.evaluation.selection import Competitor, NothingToServe, as_report, decide
from pipeline.paths import Paths
from pipeline.tracking import runs
from pipeline.tracking.registry import register_bundle
from serving.predictor import Predictor


def run(params: Params, paths: Paths) -> None:
    """Write the winner's `bundle/` and `selection.json`; register it if it is a new champion."""
    metric = BY_NAME[params.metric]
    schema = load_schema(paths.prepared / "schema.json")
    rows, y = read_part(paths.prepared / "validation.parquet", schema)

    def competitor(name: str, folder: Path) -> tuple[Competitor, Manifest]:
        predictor = Predictor(folder)
        manifest = predictor.manifest
        barred = _why_barred(schema, predictor.schema, manifest, candidates[0][1]) if candidates else None
        comparable = barred is None or "split" in barred
        value = metric.compute(y, predictor.predict(rows)) if comparable else float("nan")
        return Competitor(name, value, manifest.n_parameters, manifest.trial, barred), manifest

    candidates: list[tuple[Competitor, Manifest]] = []
    for folder in sorted((path for path in paths.candidates.iterdir() if path.is_dir()), key=lambda p: int(p.name)):
        candidates.append(competitor(f"candidate {folder.name}", folder))
    client, _ = runs.connect(params.dataset)
    version = runs.champion(client, params.dataset)
    with tempfile.TemporaryDirectory() as scratch:
        champion, home = None, Path()
        if version is not None:
            name = f"version {version}"
            try:
                home = runs.download_bundle(params.dataset, version, Path(scratch))
                champion, _ = competitor(name, home)
            except (BundleDamaged, OSError, runs.MlflowException) as error:
                champion = Competitor(name, float("nan"), 0, 0, f"its bundle cannot be read: {error}")
        baseline = metric.compute(y, baseline_predictions(schema, len(y)))
        rivals = [candidate for candidate, _ in candidates]
        try:
            decision = decide(metric, rivals, champion, baseline, params.select.minimum_gain)
        except NothingToServe as error:
            raise UserError(str(error)) from None
        winner = paths.candidates / decision.winner.removeprefix("candidate ") if decision.is_new else home
        shutil.rmtree(paths.bundle, ignore_errors=True)
        shutil.copytree(winner, paths.bundle)
    report = as_report(metric, rivals, champion, baseline, decision)
    if decision.is_new:
        version = register_bundle(client, params.dataset, paths.bundle)
        runs.set_champion_alias(client, params.dataset, version)
    report["version"] = version
    paths.selection.write_text(json.dumps(_without_nan(report), indent=2) + "\n", encoding="utf-8")
    print(f"  {params.dataset}: {decision.winner} is served as version {version}: {decision.reason}")


def _why_barred(present: Schema, theirs: Schema, manifest: Manifest, candidate: Manifest) -> str | None:
    """Why a champion may not be compared, or may not win: None where it may."""
    if [(f.name, f.kind) for f in theirs.features] != [(f.name, f.kind) for f in present.features]:
        return "its features are not those of the data"
    if theirs.classes != present.classes:
        return "its classes are not those of the data"
    if theirs.raw_md5 == present.raw_md5 and manifest.train_md5 != candidate.train_md5:
        # Its train rows may be validation or test rows now, which would flatter it.
        return "it was trained on another split of the same data"
    return None


def _without_nan(value):  # type: ignore[no-untyped-def]
    """JSON has no NaN: a value that does not exist is null."""
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value
