"""select: the champion, decided on validation rows alone."""

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from contracts.bundle import BundleDamaged
from contracts.errors import UserError
from contracts.metrics import BY_NAME, Metric
from contracts.schema import Schema, load_schema
from contracts.settings.load import Params
from pipeline.data.splits import read_part
from pipeline.evaluation import selection
from pipeline.evaluation.baselines import baseline_predictions
from pipeline.evaluation.selection import Contender, Exclusion
from pipeline.paths import Paths
from pipeline.tracking import databases, registry, runs
from serving.predictor import Predictor

COMPARABLE = (None, Exclusion.SPLIT)  # exclusions with which a bundle still predicts the rows


def run(params: Params, paths: Paths) -> None:
    """Write the winner's `bundle/` and `selection.json`; register it if it is a new champion."""
    schema = load_schema(paths.prepared / "schema.json")
    metric = BY_NAME[params.metric_for(schema.task)]
    rows, y = read_part(paths.prepared / "validation.parquet", schema)
    folders = sorted((path for path in paths.candidates.iterdir() if path.is_dir()), key=lambda path: int(path.name))
    predictors = [Predictor(folder) for folder in folders]
    candidates = tuple(
        _score(f"candidate {folder.name}", folder, predictor, metric, rows, y)
        for folder, predictor in zip(folders, predictors, strict=True)
    )
    baseline = metric.compute(y, baseline_predictions(schema, len(y)))
    client, _ = runs.connect(params.dataset)
    version = registry.champion(client, params.dataset)
    with tempfile.TemporaryDirectory() as scratch:
        champion = None
        if version is not None:
            name, train_md5 = f"version {version}", predictors[0].manifest.train_md5
            try:
                bundle = registry.download_bundle(params.dataset, version, Path(scratch))
                predictor = Predictor(bundle)
                exclusion = _exclusion(schema, predictor, train_md5)
                champion = _score(name, bundle, predictor, metric, rows, y, exclusion)
            except (BundleDamaged, OSError, registry.MlflowException) as error:
                champion = Contender(name, Path(), float("nan"), 0, 0, Exclusion.UNREADABLE, str(error))
        try:
            decision = selection.decide(metric, candidates, champion, baseline, params.select.minimum_gain)
        except selection.NothingBeatsBaseline as error:
            raise UserError(str(error)) from None
        shutil.rmtree(paths.bundle, ignore_errors=True)
        shutil.copytree(decision.winner.bundle, paths.bundle)
    if decision.is_new:
        with databases.failures_explained():
            version = registry.register_bundle(client, params.dataset, paths.bundle)
            registry.set_champion_alias(client, params.dataset, version)
    report = selection.report(decision) | {"version": version}
    paths.selection.write_text(json.dumps(_nan_as_null(report), indent=2) + "\n", encoding="utf-8")
    print(f"  {params.dataset}: {decision.winner.name} is served as version {version}: {selection.reason(decision)}")


def _score(
    name: str, bundle: Path, predictor: Predictor, metric: Metric, rows: np.ndarray, y: np.ndarray,
    exclusion: Exclusion | None = None,
) -> Contender:  # fmt: skip
    value = metric.compute(y, predictor.predict(rows)) if exclusion in COMPARABLE else float("nan")
    manifest = predictor.manifest
    return Contender(name, bundle, value, manifest.n_parameters, manifest.trial, exclusion)


def _exclusion(schema: Schema, champion: Predictor, train_md5: str) -> Exclusion | None:
    """Why a champion cannot win.

    Args:
        train_md5: of the train rows of the candidates.
    """
    if [(f.name, f.kind) for f in champion.schema.features] != [(f.name, f.kind) for f in schema.features]:
        return Exclusion.FEATURES
    if champion.schema.classes != schema.classes:
        return Exclusion.CLASSES
    if champion.schema.raw_md5 == schema.raw_md5 and champion.manifest.train_md5 != train_md5:
        # The present validation and test rows may be among its train rows, which makes it look better than it is.
        return Exclusion.SPLIT
    return None


def _nan_as_null(value: Any) -> Any:
    """JSON has no NaN."""
    if isinstance(value, dict):
        return {key: _nan_as_null(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_nan_as_null(item) for item in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value
