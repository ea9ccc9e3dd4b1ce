"""A contender on the validation rows: its predictions, its threshold, and the input of the metric."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from contracts.bundle import seal
from contracts.encoding import predictions_of
from contracts.metrics import BY_NAME, Metric
from contracts.quantiles import with_levels
from contracts.thresholds import HALF, best_threshold, metric_input
from pipeline.evaluation.selection import Contender
from serving.predictor import Predictor


@dataclass(frozen=True)
class Scored:
    """`predictions` are probabilities or values; `judged` is the input of the metric."""

    contender: Contender
    predictor: Predictor
    predictions: np.ndarray
    judged: np.ndarray


def score(
    name: str, bundle: Path, metric: Metric, threshold: str | float, rows: np.ndarray, y: np.ndarray, scratch: Path
) -> Scored:
    """Predict the validation rows, and choose the threshold as `select.threshold` says.

    Where the bundle has another one, the contender's bundle is a copy with the new threshold in `scratch`.

    Raises:
        BundleDamaged: with the name of the file.
    """
    predictor = Predictor(bundle)
    outputs, schema = predictor.outputs(rows), predictor.schema
    predictions = predictions_of(schema, outputs)
    chosen = _threshold(threshold, y, predictions)
    if chosen != predictor.manifest.threshold:
        bundle = Path(shutil.copytree(bundle, scratch / name))
        seal(bundle, predictor.manifest.model_copy(update={"threshold": chosen}))
        predictor = Predictor(bundle)
    manifest = predictor.manifest
    judged = metric_input(metric, predictions, chosen, with_levels(schema, outputs))
    value = metric.compute(y, judged)
    return Scored(Contender(name, bundle, value, manifest.n_parameters, manifest.trial), predictor, predictions, judged)


def _threshold(setting: str | float, y: np.ndarray, predictions: np.ndarray) -> float | None:
    if isinstance(setting, str):
        return best_threshold(BY_NAME[setting], y, predictions)
    return None if setting == HALF else setting
