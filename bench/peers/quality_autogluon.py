"""AutoGluon's `medium_quality` in the environment of `quality_autogluon.lock`: `python -m bench.peers.quality_autogluon
<ignored> <ignored> <rows.npz> <predictions.npy>` prints the seconds as JSON. Its models stop early, and its ensemble is
weighted, on the validation rows; it sets the seeds itself.
"""

import json
import os
import sys
import tempfile
import time
import warnings

import numpy as np
import pandas as pd
from autogluon.tabular import TabularPredictor

LABEL = "target"


def main(_name: str, _seed: str, file: str, predictions: str) -> None:
    warnings.simplefilter("ignore")
    with np.load(file) as stored:
        train, held_out, test = (
            frame(stored[f"{part}_x"], stored[f"{part}_y"], stored["categorical"])
            for part in ("train", "validation", "test")
        )
    is_regression = train[LABEL].dtype.kind == "f"
    with tempfile.TemporaryDirectory() as folder:
        predictor = TabularPredictor(
            LABEL, path=folder, verbosity=0, problem_type="regression" if is_regression else "binary",
            eval_metric="root_mean_squared_error" if is_regression else "roc_auc",
        )  # fmt: skip
        began = time.perf_counter()
        predictor.fit(train, held_out, presets="medium_quality", num_cpus=len(os.sched_getaffinity(0)), num_gpus=0)
        trained = time.perf_counter()
        asked = test.drop(columns=LABEL)
        np.save(predictions, np.asarray((predictor.predict if is_regression else predictor.predict_proba)(asked)))
        print(json.dumps({"train_seconds": trained - began, "predict_seconds": time.perf_counter() - trained}))


def frame(x: np.ndarray, y: np.ndarray, categorical: np.ndarray) -> pd.DataFrame:
    columns = pd.DataFrame(x)
    for column in np.flatnonzero(categorical):
        columns[column] = columns[column].astype(int).astype(str).astype("category")
    columns.columns = [f"column {name}" for name in columns]
    return columns.assign(**{LABEL: y})


if __name__ == "__main__":
    main(*sys.argv[1:])
