"""Boosted trees of four libraries on encoded rows: the library's defaults, except for a learning rate of 0.05 (CatBoost
sets its own), up to 1,000 trees, and early stopping on rows that are held out. The functions for CatBoost and LightGBM
take settings, which replace the defaults, and callbacks.

Imports nothing of the project, because the benchmark also calls it in an environment of its own.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

ROUNDS, PATIENCE, RATE = 1000, 50, 0.05
MOST_CATEGORIES = 254  # the most that scikit-learn takes beside missing values

Predict = Callable[[np.ndarray], np.ndarray]


class Rows(NamedTuple):
    """The rows on which a library trains, of shape (n_rows, n_columns), their targets (class codes or numbers), and
    which columns hold categories, bool of shape (n_columns,).
    """

    train: tuple[np.ndarray, np.ndarray]
    held_out: tuple[np.ndarray, np.ndarray]
    categorical: np.ndarray

    @property
    def is_regression(self) -> bool:
        return self.train[1].dtype.kind == "f"


def catboost(rows: Rows, seed: int, callbacks: Sequence[Any] = (), **settings: Any) -> Predict:
    from catboost import CatBoostClassifier, CatBoostRegressor

    def frame(values: np.ndarray) -> pd.DataFrame:
        return _frame(values, rows.categorical, str)

    model = (CatBoostRegressor if rows.is_regression else CatBoostClassifier)(
        **{"iterations": ROUNDS} | settings, early_stopping_rounds=PATIENCE, random_seed=seed, verbose=False,
        allow_writing_files=False,
    )  # fmt: skip
    model.fit(
        frame(rows.train[0]), rows.train[1], cat_features=list(np.flatnonzero(rows.categorical)),
        eval_set=(frame(rows.held_out[0]), rows.held_out[1]), callbacks=list(callbacks) or None,
    )  # fmt: skip
    return _predict(model, rows, frame)


def lightgbm(rows: Rows, seed: int, callbacks: Sequence[Any] = (), **settings: Any) -> Predict:
    from lightgbm import LGBMClassifier, LGBMRegressor, early_stopping

    frame = _categorical_frames(rows)
    model = (LGBMRegressor if rows.is_regression else LGBMClassifier)(
        **{"n_estimators": ROUNDS, "learning_rate": RATE} | settings, random_state=seed, verbose=-1
    )
    model.fit(
        frame(rows.train[0]), rows.train[1], eval_set=[(frame(rows.held_out[0]), rows.held_out[1])],
        callbacks=[early_stopping(PATIENCE, verbose=False), *callbacks],
    )  # fmt: skip
    return _predict(model, rows, frame)


def xgboost(rows: Rows, seed: int) -> Predict:
    from xgboost import XGBClassifier, XGBRegressor

    frame = _categorical_frames(rows)
    model = (XGBRegressor if rows.is_regression else XGBClassifier)(
        n_estimators=ROUNDS, learning_rate=RATE, random_state=seed, early_stopping_rounds=PATIENCE,
        enable_categorical=True,
    )  # fmt: skip
    held_out = [(frame(rows.held_out[0]), rows.held_out[1])]
    model.fit(frame(rows.train[0]), rows.train[1], eval_set=held_out, verbose=False)
    return _predict(model, rows, frame)


def histogram_boosting(rows: Rows, seed: int) -> Predict:
    """scikit-learn's; rarer categories than its limit count as missing."""
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    frequent = {}
    for column in np.flatnonzero(rows.categorical):
        codes, counts = np.unique(rows.train[0][:, column], return_counts=True)
        frequent[column] = codes[np.argsort(-counts)][:MOST_CATEGORIES]

    def prepare(values: np.ndarray) -> np.ndarray:
        values = values.copy()
        for column, codes in frequent.items():
            place = {code: float(number) for number, code in enumerate(codes)}
            values[:, column] = [place.get(code, np.nan) for code in values[:, column]]
        return values

    model = (HistGradientBoostingRegressor if rows.is_regression else HistGradientBoostingClassifier)(
        max_iter=ROUNDS, learning_rate=RATE, early_stopping=True, n_iter_no_change=PATIENCE, random_state=seed,
        categorical_features=rows.categorical,
    )  # fmt: skip
    model.fit(prepare(rows.train[0]), rows.train[1], X_val=prepare(rows.held_out[0]), y_val=rows.held_out[1])
    return _predict(model, rows, prepare)


LIBRARIES: dict[str, Callable[..., Predict]] = {
    function.__name__: function for function in (histogram_boosting, lightgbm, xgboost, catboost)
}


def _predict(model: Any, rows: Rows, prepare: Callable[[np.ndarray], Any]) -> Predict:
    return lambda values: np.asarray((model.predict if rows.is_regression else model.predict_proba)(prepare(values)))


def _frame(values: np.ndarray, categorical: np.ndarray, kind: Any) -> pd.DataFrame:
    frame = pd.DataFrame(values)
    for column in np.flatnonzero(categorical):
        frame[column] = frame[column].astype(int).astype(kind)
    return frame


def _categorical_frames(rows: Rows) -> Callable[[np.ndarray], pd.DataFrame]:
    """Frames with the categories of the train rows; another category is missing."""
    kinds = {
        column: pd.CategoricalDtype(np.unique(rows.train[0][:, column]).astype(int).tolist())
        for column in np.flatnonzero(rows.categorical)
    }

    def frame(values: np.ndarray) -> pd.DataFrame:
        columns = pd.DataFrame(values)
        return columns.astype(dict.fromkeys(kinds, int)).astype(kinds) if kinds else columns

    return frame
