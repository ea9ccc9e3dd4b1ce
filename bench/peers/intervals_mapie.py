"""Intervals and sets of MAPIE in the environment of `intervals.lock`: `python -m bench.peers.intervals_mapie <task>
<folder of splits> <confidence> …` prints a JSON list with coverage and width or size for each split.

Its model returns stored predictions: the rows are the predictions.
"""

import json
import sys
from pathlib import Path

import numpy as np
from mapie.classification import SplitConformalClassifier
from mapie.regression import SplitConformalRegressor
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin


class Predicted(RegressorMixin, BaseEstimator):
    """A fitted regressor: predictions are the rows."""

    fitted_ = True

    def fit(self, rows: np.ndarray, y: np.ndarray) -> "Predicted":
        return self

    def predict(self, rows: np.ndarray) -> np.ndarray:
        return rows[:, 0]


class PredictedClasses(ClassifierMixin, BaseEstimator):
    """A fitted classifier: probabilities are the rows."""

    fitted_ = True

    def __init__(self, n_classes: int = 2) -> None:
        self.n_classes = n_classes
        self.classes_ = np.arange(n_classes)

    def fit(self, rows: np.ndarray, y: np.ndarray) -> "PredictedClasses":
        return self

    def predict_proba(self, rows: np.ndarray) -> np.ndarray:
        return rows

    def predict(self, rows: np.ndarray) -> np.ndarray:
        return rows.argmax(axis=1)


def measure(task: str, split: dict[str, np.ndarray], confidences: list[float]) -> dict[str, float]:
    p, y = ({part: split[f"{part}_{what}"] for part in ("validation", "test")} for what in ("p", "y"))
    p = {part: values.reshape(len(values), -1).astype(np.float64) for part, values in p.items()}
    found = {}
    if task == "regression":
        model = SplitConformalRegressor(Predicted(), confidence_level=confidences, prefit=True)
        truth = y["test"].reshape(-1)
        _, ends = model.conformalize(p["validation"], y["validation"].reshape(-1)).predict_interval(p["test"])
        for i, confidence in enumerate(confidences):
            low, high = ends[:, 0, i], ends[:, 1, i]
            found[f"coverage_{confidence * 100:g}"] = float(np.mean((low <= truth) & (truth <= high)))
            found[f"width_{confidence * 100:g}"] = float(np.mean(high - low))
        return found
    p = {part: values / values.sum(axis=1, keepdims=True) for part, values in p.items()}
    estimator = PredictedClasses(p["test"].shape[1])
    model = SplitConformalClassifier(estimator, confidence_level=confidences, conformity_score="lac", prefit=True)
    _, sets = model.conformalize(p["validation"], y["validation"]).predict_set(p["test"])
    for i, confidence in enumerate(confidences):
        found[f"coverage_{confidence * 100:g}"] = float(sets[np.arange(len(sets)), y["test"], i].mean())
        found[f"size_{confidence * 100:g}"] = float(sets[:, :, i].sum(axis=1).mean())
    return found


def main(task: str, folder: str, *confidences: str) -> None:
    found = []
    for file in sorted(Path(folder).glob("*.npz"), key=lambda file: int(file.stem)):
        with np.load(file) as split:
            found.append(measure(task, dict(split), [float(confidence) for confidence in confidences]))
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
