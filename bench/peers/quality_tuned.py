"""CatBoost and LightGBM tuned by Optuna, in the environment of `quality_trees.lock`: `python -m
bench.peers.quality_tuned <library> <seed> <rows.npz> <predictions.npy> <log_loss or rmse> <seconds>` prints the
validation metric of the best trial, the number of trials and the seconds as JSON.

The first trial has the library's defaults and a learning rate of 0.05: the searches of Grinsztajn et al. (2022) begin
with the defaults, too. A training that runs at the end of the time is ended and does not count, as in our search.
"""

import json
import os
import sys
import time
import warnings
from typing import Any

import numpy as np
import optuna
from sklearn.metrics import log_loss, root_mean_squared_error

from pipeline.evaluation.boosted_trees import LIBRARIES, Predict, Rows

METRICS = {"log_loss": log_loss, "rmse": root_mean_squared_error}


def catboost_space(trial: optuna.Trial) -> dict[str, Any]:
    """That of Gorishniy et al. (2021), "Revisiting deep learning models for tabular data", up to 2,000 trees.

    Its learning rates begin at 1e-5, with which 2,000 trees learn nothing: these are of Gorishniy et al. (2024), below.
    """
    return {
        "iterations": 2000,
        "depth": trial.suggest_int("depth", 3, 10),
        "learning_rate": trial.suggest_float("learning_rate", 1e-3, 1, log=True),
        "bagging_temperature": trial.suggest_float("bagging_temperature", 0, 1),
        "l2_leaf_reg": trial.suggest_float("l2_leaf_reg", 1, 10, log=True),
        "leaf_estimation_iterations": trial.suggest_int("leaf_estimation_iterations", 1, 10),
    }


def lightgbm_space(trial: optuna.Trial) -> dict[str, Any]:
    """That of Gorishniy et al. (2024), "TabR: tabular deep learning meets nearest neighbors", up to 2,000 trees."""
    has_l2 = trial.suggest_categorical("has_l2", [False, True])
    return {
        "n_estimators": 2000,
        "learning_rate": trial.suggest_float("learning_rate", 1e-3, 1, log=True),
        "num_leaves": trial.suggest_int("num_leaves", 4, 768),
        "colsample_bytree": trial.suggest_float("colsample_bytree", 0.5, 1),
        "subsample": trial.suggest_float("subsample", 0.5, 1),
        "subsample_freq": 1,
        "min_child_weight": trial.suggest_float("min_child_weight", 1e-4, 100, log=True),
        "reg_lambda": trial.suggest_float("reg_lambda", 0.1, 10, log=True) if has_l2 else 0.0,
    }


SPACES = {"catboost": catboost_space, "lightgbm": lightgbm_space}
DEFAULTS: dict[str, dict[str, Any]] = {
    "catboost": {"depth": 6, "learning_rate": 0.05, "bagging_temperature": 1, "l2_leaf_reg": 3},
    "lightgbm": {
        "has_l2": False, "learning_rate": 0.05, "num_leaves": 31, "colsample_bytree": 1, "subsample": 1,
        "min_child_weight": 1e-3,
    },
}  # fmt: skip


class Deadline:
    """A callback of both libraries, after each tree."""

    def __init__(self, seconds: float) -> None:
        self.at = time.monotonic() + seconds

    def __call__(self, _: Any) -> None:  # LightGBM
        if time.monotonic() > self.at:
            raise optuna.TrialPruned

    def after_iteration(self, _: Any) -> bool:  # CatBoost
        return time.monotonic() <= self.at


def main(library: str, seed: str, file: str, predictions: str, metric: str, seconds: str) -> None:
    warnings.simplefilter("ignore")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with np.load(file) as stored:
        train, held_out = ((stored[f"{part}_x"], stored[f"{part}_y"]) for part in ("train", "validation"))
        rows, test = Rows(train, held_out, stored["categorical"]), stored["test_x"]
    n_threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    threads = {"thread_count" if library == "catboost" else "n_jobs": n_threads}
    began, deadline = time.perf_counter(), Deadline(float(seconds))
    best: tuple[float, Predict] | None = None

    def train_trial(trial: optuna.Trial) -> float:
        nonlocal best
        predict = LIBRARIES[library](rows, int(seed), [deadline], **threads, **SPACES[library](trial))
        if not deadline.after_iteration(None):
            raise optuna.TrialPruned
        value = float(METRICS[metric](held_out[1], predict(held_out[0])))
        if best is None or value < best[0]:
            best = value, predict
        return value

    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=int(seed)))
    # CatBoost's default depends on the loss; LightGBM has no such setting, and Optuna ignores it there.
    study.enqueue_trial(DEFAULTS[library] | {"leaf_estimation_iterations": 1 if rows.is_regression else 10})
    study.optimize(train_trial, timeout=float(seconds))
    tuned = time.perf_counter()
    if best is None:
        sys.exit(f"no training ended within {seconds} s")
    np.save(predictions, best[1](test))
    found = {"validation": best[0], "trials": len(study.get_trials(states=[optuna.trial.TrialState.COMPLETE]))}
    print(json.dumps(found | {"train_seconds": tuned - began, "predict_seconds": time.perf_counter() - tuned}))


if __name__ == "__main__":
    main(*sys.argv[1:])
