"""A library of boosted trees on encoded rows, in the environment of `quality.lock`: the library's defaults, but a
learning rate of 0.05 (CatBoost sets its own), up to 1,000 trees, and early stopping on the validation rows.

Called as `python quality_trees.py <library> <seed> <rows.npz> <predictions.npy>`; prints the seconds as JSON.
"""

import json
import sys
import time
import warnings
from typing import Any

import numpy as np
import pandas as pd

ROUNDS, PATIENCE, RATE = 1000, 50, 0.05
MOST_CATEGORIES = 254  # that scikit-learn takes, with missing values


def catboost(parts: dict[str, Any], regression: bool, seed: int) -> Any:
    from catboost import CatBoostClassifier, CatBoostRegressor

    frames = {name: as_frame(parts[f"{name}_x"], parts["categorical"], str) for name in ("train", "validation")}
    model = (CatBoostRegressor if regression else CatBoostClassifier)(
        iterations=ROUNDS, early_stopping_rounds=PATIENCE, random_seed=seed, verbose=False, allow_writing_files=False
    )
    model.fit(
        frames["train"], parts["train_y"], cat_features=list(np.flatnonzero(parts["categorical"])),
        eval_set=(frames["validation"], parts["validation_y"]),
    )  # fmt: skip
    return model, lambda rows: as_frame(rows, parts["categorical"], str)


def lightgbm(parts: dict[str, Any], regression: bool, seed: int) -> Any:
    from lightgbm import LGBMClassifier, LGBMRegressor, early_stopping

    model = (LGBMRegressor if regression else LGBMClassifier)(
        n_estimators=ROUNDS, learning_rate=RATE, random_state=seed, verbose=-1
    )
    frames = categorical_frames(parts)
    model.fit(
        frames["train"], parts["train_y"], eval_set=[(frames["validation"], parts["validation_y"])],
        callbacks=[early_stopping(PATIENCE, verbose=False)],
    )  # fmt: skip
    return model, frames["of"]


def xgboost(parts: dict[str, Any], regression: bool, seed: int) -> Any:
    from xgboost import XGBClassifier, XGBRegressor

    model = (XGBRegressor if regression else XGBClassifier)(
        n_estimators=ROUNDS, learning_rate=RATE, random_state=seed, early_stopping_rounds=PATIENCE,
        enable_categorical=True,
    )  # fmt: skip
    frames = categorical_frames(parts)
    model.fit(
        frames["train"], parts["train_y"], eval_set=[(frames["validation"], parts["validation_y"])], verbose=False
    )
    return model, frames["of"]


def histogram_boosting(parts: dict[str, Any], regression: bool, seed: int) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    frequent = {}
    for column in np.flatnonzero(parts["categorical"]):
        codes, counts = np.unique(parts["train_x"][:, column], return_counts=True)
        frequent[column] = codes[np.argsort(-counts)][:MOST_CATEGORIES]

    def prepare(rows: np.ndarray) -> np.ndarray:
        rows = rows.copy()
        for column, codes in frequent.items():
            place = {code: float(number) for number, code in enumerate(codes)}
            rows[:, column] = [place.get(code, np.nan) for code in rows[:, column]]
        return rows

    model = (HistGradientBoostingRegressor if regression else HistGradientBoostingClassifier)(
        max_iter=ROUNDS, learning_rate=RATE, early_stopping=True, n_iter_no_change=PATIENCE, random_state=seed,
        categorical_features=parts["categorical"],
    )  # fmt: skip
    model.fit(
        prepare(parts["train_x"]), parts["train_y"],
        X_val=prepare(parts["validation_x"]), y_val=parts["validation_y"],
    )  # fmt: skip
    return model, prepare


LIBRARIES = {f.__name__: f for f in (catboost, lightgbm, xgboost, histogram_boosting)}


def as_frame(rows: np.ndarray, categorical: np.ndarray, kind: Any) -> pd.DataFrame:
    frame = pd.DataFrame(rows)
    for column in np.flatnonzero(categorical):
        frame[column] = frame[column].astype(int).astype(kind)
    return frame


def categorical_frames(parts: dict[str, Any]) -> dict[str, Any]:
    """Frames with the categories of the train rows; another category is missing."""
    kinds = {
        column: pd.CategoricalDtype(np.unique(parts["train_x"][:, column]).astype(int))
        for column in np.flatnonzero(parts["categorical"])
    }

    def of(rows: np.ndarray) -> pd.DataFrame:
        frame = pd.DataFrame(rows)
        return frame.assign(**{}) if not kinds else frame.astype(dict.fromkeys(kinds, int)).astype(kinds)

    return {"of": of, **{name: of(parts[f"{name}_x"]) for name in ("train", "validation")}}


def main(library: str, seed: str, rows: str, predictions: str) -> None:
    warnings.simplefilter("ignore")
    with np.load(rows) as stored:
        parts = dict(stored)
    regression = parts["train_y"].dtype.kind == "f"
    began = time.perf_counter()
    model, prepare = LIBRARIES[library](parts, regression, int(seed))
    trained = time.perf_counter()
    predicted = (model.predict if regression else model.predict_proba)(prepare(parts["test_x"]))
    seconds = {"train_seconds": trained - began, "predict_seconds": time.perf_counter() - trained}
    np.save(predictions, predicted)
    print(json.dumps(seconds))


if __name__ == "__main__":
    main(*sys.argv[1:])
