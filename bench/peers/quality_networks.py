"""Networks of pytabkit with its defaults, in the environment of `quality_networks.lock`: `python -m
bench.peers.quality_networks <realmlp or tabm> <seed> <rows.npz> <predictions.npy> [cuda:0]` prints the seconds as JSON.

Classes stop early on the cross-entropy and have no smoothed labels, as pytabkit's documentation recommends where the
metric is the ROC AUC. A missing number is the median of the train rows, and a column of its own says so, because
pytabkit takes none.
"""

import json
import os
import sys
import time
import warnings

import numpy as np
import pandas as pd
from pytabkit import RealMLP_TD_Classifier, RealMLP_TD_Regressor, TabM_D_Classifier, TabM_D_Regressor

NETWORKS = {"realmlp": (RealMLP_TD_Classifier, RealMLP_TD_Regressor), "tabm": (TabM_D_Classifier, TabM_D_Regressor)}


def main(name: str, seed: str, file: str, predictions: str, device: str = "cpu") -> None:
    warnings.simplefilter("ignore")
    with np.load(file) as stored:
        rows = {key: stored[key] for key in stored.files}
    train, held_out, test = frames(rows)
    is_regression = rows["train_y"].dtype.kind == "f"
    classes = {} if is_regression else {"val_metric_name": "cross_entropy"}
    if name == "realmlp" and not is_regression:
        classes["use_ls"] = False
    threads = len(os.sched_getaffinity(0))
    model = NETWORKS[name][is_regression](device=device, random_state=int(seed), n_threads=threads, **classes)
    began = time.perf_counter()
    categorical = [column for column in train if str(column).startswith("category")]
    model.fit(train, rows["train_y"], held_out, rows["validation_y"], cat_col_names=categorical)
    trained = time.perf_counter()
    np.save(predictions, (model.predict if is_regression else model.predict_proba)(test))
    print(json.dumps({"train_seconds": trained - began, "predict_seconds": time.perf_counter() - trained}))


def frames(rows: dict[str, np.ndarray]) -> list[pd.DataFrame]:
    """Train, validation and test rows: categories as codes, numbers without gaps."""
    missing = np.isnan(rows["train_x"])
    median = np.nanmedian(np.where(missing.all(axis=0), 0, rows["train_x"]), axis=0)
    found = []
    for part in ("train", "validation", "test"):
        x = rows[f"{part}_x"]
        columns = {
            f"{'category' if is_category else 'number'} {place}": values.astype(int) if is_category else values
            for place, (is_category, values) in enumerate(zip(rows["categorical"], fill(x, median).T, strict=True))
        }
        columns |= {f"missing {place}": np.isnan(x[:, place]) * 1.0 for place in np.flatnonzero(missing.any(axis=0))}
        found.append(pd.DataFrame(columns))
    return found


def fill(x: np.ndarray, values: np.ndarray) -> np.ndarray:
    return np.where(np.isnan(x), values, x)


if __name__ == "__main__":
    main(*sys.argv[1:])
