"""select: the champion, decided on validation rows alone."""

import csv
import json
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from contracts.bundle import BundleDamaged, open_bundle, seal
from contracts.errors import UserError
from contracts.metrics import BY_NAME
from contracts.schema import Schema, load_schema
from contracts.settings.load import Params
from contracts.thresholds import HALF, best_threshold, metric_input
from pipeline.data.row_ids import row_ids
from pipeline.data.splits import read_part
from pipeline.evaluation import selection
from pipeline.evaluation.baselines import baseline_predictions
from pipeline.evaluation.comparison import compare
from pipeline.evaluation.selection import Contender, Exclusion
from pipeline.paths import Paths
from pipeline.tracking import databases, registry, runs
from serving.predictor import Predictor


def run(params: Params, paths: Paths) -> None:
    """Write the winner's `bundle/` and `selection.json`; register it if it is a new champion."""
    schema = load_schema(paths.prepared / "schema.json")
    metric = BY_NAME[params.metric_for(schema.task)]
    rows, y = read_part(paths.prepared / "validation.parquet", schema)
    folders = sorted((path for path in paths.candidates.iterdir() if path.is_dir()), key=lambda path: int(path.name))
    predictors = [Predictor(folder) for folder in folders]
    thresholds: dict[str, float | None] = {}

    def predict(name: str, predictor: Predictor) -> np.ndarray:
        """What the metric of a contender is computed from, with its own threshold."""
        predicted = predictor.predict(rows)
        thresholds[name] = _threshold(params.select.threshold, y, predicted)
        return metric_input(metric, predicted, thresholds[name])

    names = [f"candidate {folder.name}" for folder in folders]
    predictions = [predict(name, predictor) for name, predictor in zip(names, predictors, strict=True)]
    candidates = tuple(
        _contender(name, folder, predictor, metric.compute(y, predicted))
        for name, folder, predictor, predicted in zip(names, folders, predictors, predictions, strict=True)
    )
    baseline = metric.compute(y, baseline_predictions(schema, len(y)))
    client, _ = runs.connect(params.dataset)
    version = registry.champion(client, params.dataset)
    with tempfile.TemporaryDirectory() as scratch:
        champion = comparison = None
        if version is not None:
            name = f"version {version}"
            try:
                bundle = registry.download_bundle(params.dataset, version, Path(scratch))
                predictor = Predictor(bundle)
                exclusion = _exclusion(schema, predictor, bundle, predictors[0].manifest.train_md5, paths)
                champion = _contender(name, bundle, predictor, float("nan"), exclusion)
            except (BundleDamaged, OSError, registry.MlflowException) as error:
                champion = Contender(name, Path(), float("nan"), 0, 0, Exclusion.UNREADABLE, str(error))
            else:
                if exclusion is None:
                    predicted = predict(name, predictor)
                    champion = replace(champion, value=metric.compute(y, predicted))
                    best = candidates.index(selection.challenger(metric, candidates, baseline))
                    comparison = compare(
                        metric, y, predicted, predictions, best, _n_trainings(params, paths),
                        params.select.confidence, params.preprocess.seed,
                    )  # fmt: skip
        try:
            decision = selection.decide(metric, candidates, champion, baseline, comparison, params.select)
        except selection.NothingBeatsBaseline as error:
            raise UserError(str(error)) from None
        shutil.rmtree(paths.bundle, ignore_errors=True)
        shutil.copytree(decision.winner.bundle, paths.bundle)
    moved = _set_threshold(paths.bundle, thresholds.get(decision.winner.name))
    if decision.is_new or moved:
        trained_on = row_ids(pq.read_table(paths.prepared / "train.parquet"))
        with databases.failures_explained():
            version = registry.register_bundle(client, params.dataset, paths.bundle, trained_on)
            registry.set_champion_alias(client, params.dataset, version)
    report = selection.report(decision) | {"version": version, "threshold": thresholds.get(decision.winner.name)}
    paths.selection.write_text(json.dumps(_nan_as_null(report), indent=2) + "\n", encoding="utf-8")
    print(f"  {params.dataset}: {decision.winner.name} is served as version {version}: {decision.reason}")


def _contender(
    name: str, bundle: Path, predictor: Predictor, value: float, exclusion: Exclusion | None = None
) -> Contender:
    manifest = predictor.manifest
    return Contender(name, bundle, value, manifest.n_parameters, manifest.trial, exclusion)


def _threshold(setting: str | float, y: np.ndarray, predictions: np.ndarray) -> float | None:
    """The threshold of the second of two classes; None for the most probable class."""
    if isinstance(setting, str):
        return best_threshold(BY_NAME[setting], y, predictions)
    return None if setting == HALF else setting


def _set_threshold(bundle: Path, threshold: float | None) -> bool:
    """Write a threshold into a bundle; True if it has changed."""
    manifest, _ = open_bundle(bundle)
    if manifest.threshold == threshold:
        return False
    seal(bundle, manifest.model_copy(update={"threshold": threshold}))
    return True


def _n_trainings(params: Params, paths: Paths) -> int:
    """Among how many trained networks the candidates were chosen."""
    with (paths.candidates / "trials.csv").open(newline="", encoding="utf-8") as file:
        return params.train.restarts * sum(1 for _ in csv.DictReader(file))


def _exclusion(schema: Schema, champion: Predictor, bundle: Path, train_md5: str, paths: Paths) -> Exclusion | None:
    """Why no fair comparison with a champion is possible.

    Args:
        bundle: the champion's, as downloaded.
        train_md5: of the train rows of the candidates.
    """
    if [(f.name, f.kind) for f in champion.schema.features] != [(f.name, f.kind) for f in schema.features]:
        return Exclusion.FEATURES
    if champion.schema.classes != schema.classes:
        return Exclusion.CLASSES
    if champion.manifest.train_md5 == train_md5:
        return None
    trained_on = registry.trained_on(bundle)
    if trained_on is None:
        return Exclusion.UNKNOWN_ROWS
    now = row_ids(pq.read_table(paths.prepared / "validation.parquet"))
    return Exclusion.TRAINED_ON if np.isin(now, trained_on).any() else None


def _nan_as_null(value: Any) -> Any:
    """JSON has no NaN."""
    if isinstance(value, dict):
        return {key: _nan_as_null(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_nan_as_null(item) for item in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value
