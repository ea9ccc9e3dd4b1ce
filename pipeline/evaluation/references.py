"""Reference models, trained and scored on the same rows as the networks."""

import time
import warnings
from importlib.util import find_spec
from typing import Any

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.exceptions import ConvergenceWarning, DataConversionWarning
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Perceptron, Ridge
from sklearn.multioutput import MultiOutputClassifier, MultiOutputRegressor
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from contracts.metrics import Metric, task_metrics
from contracts.schema import CategoricalFeature, NumericTarget, Schema
from pipeline.evaluation.boosted_trees import LIBRARIES, Rows
from pipeline.evaluation.comparison import compare

BOOSTED = "histogram_boosting"
FOREST = {"n_estimators": 200, "random_state": 0, "n_jobs": -1}
BOOSTING = {"max_iter": 500, "learning_rate": 0.05, "early_stopping": True, "random_state": 0}


def references(schema: Schema) -> dict[str, Any]:
    """Untrained models by name: linear, forest, boosted trees, scikit-learn's MLP, and the Perceptron for classes.

    CatBoost, LightGBM and XGBoost are among them if they are installed.
    """
    single = schema.picks_one or isinstance(schema.target, NumericTarget)
    trees = {name: Trees(name, schema) for name in LIBRARIES if single and find_spec(name) is not None}
    if schema.task == "regression":
        boosting = MultiOutputRegressor(HistGradientBoostingRegressor(**BOOSTING))
        return {
            "ridge": _with_preprocessing(schema, Ridge()),
            "mlp": _with_preprocessing(
                schema, MLPRegressor(hidden_layer_sizes=(50, 50, 50), random_state=0, max_iter=300)
            ),
            "forest": RandomForestRegressor(**FOREST),
            "boosting": Trees(BOOSTED, schema) if single else boosting,
            **trees,
        }
    models: dict[str, Any] = {
        "logistic": LogisticRegression(max_iter=1000),
        "mlp": MLPClassifier(hidden_layer_sizes=(100,), random_state=0, max_iter=300),
        "perceptron": Perceptron(random_state=0),
    }
    boosted: Any = Trees(BOOSTED, schema)
    if schema.task == "multilabel":
        models = {name: MultiOutputClassifier(model) for name, model in models.items()}
        boosted = MultiOutputClassifier(HistGradientBoostingClassifier(**BOOSTING))
    models = {name: _with_preprocessing(schema, model) for name, model in models.items()}
    models |= {"forest": RandomForestClassifier(**FOREST), "boosting": boosted, **trees}
    return {name: Labels(model) for name, model in models.items()} if schema.task == "multilabel" else models


class Labels:
    """A model of several labels; a label with one value in all train rows, which scikit-learn refuses, keeps it."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def fit(self, x: np.ndarray, y: np.ndarray) -> None:
        self.first, self.varied = y[0].astype(float), (y != y[0]).any(axis=0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DataConversionWarning)  # of a forest, if one label is left
            if self.varied.any():
                self.model.fit(x, y[:, self.varied])

    def predict_proba(self, rows: np.ndarray) -> np.ndarray:
        """Shape (n_rows, n_labels); a model without probabilities counts as certain."""
        found = np.tile(self.first, (len(rows), 1))
        if self.varied.any():
            found[:, self.varied] = self._of_varied(rows)
        return found

    def _of_varied(self, rows: np.ndarray) -> np.ndarray:
        if not hasattr(self.model, "predict_proba"):
            return np.asarray(self.model.predict(rows)).reshape(len(rows), -1)
        probabilities = self.model.predict_proba(rows)  # of one label no list
        labels = probabilities if isinstance(probabilities, list) else [probabilities]
        return np.stack([label[:, 1] for label in labels], axis=1)


class Trees:
    """Boosted trees of a library with scikit-learn's interface; they stop early on a tenth of the rows."""

    def __init__(self, library: str, schema: Schema) -> None:
        inputs = () if schema.image else schema.inputs
        self.library, self.width, self.picks_one = library, schema.input_width, schema.picks_one
        self.codes = [i for i, feature in enumerate(inputs) if isinstance(feature, CategoricalFeature)]

    def fit(self, x: np.ndarray, y: np.ndarray) -> None:
        held_out = np.zeros(len(y), dtype=bool)
        held_out[np.argsort(y, kind="stable")[5::10]] = True  # with every class in proportion
        if self.picks_one:
            self.classes_, first, y = np.unique(y, return_index=True, return_inverse=True)
            held_out[first] = False  # a class has a row to train on
        categorical = np.isin(np.arange(self.width), self.codes)
        kept_back = (x[held_out], y[held_out]) if held_out.any() else (x, y)
        rows = Rows((x[~held_out], y[~held_out]), kept_back, categorical)
        self.predict = self.predict_proba = LIBRARIES[self.library](rows, 0)


def boosting_ahead(
    schema: Schema, train: tuple[np.ndarray, np.ndarray], validation: tuple[np.ndarray, np.ndarray], metric: Metric,
    predictions: np.ndarray, confidence: float, seed: int,
) -> str:  # fmt: skip
    """A sentence if boosted trees are better on the validation rows beyond noise; empty if they are not.

    Args:
        predictions: those of the network for the validation rows.
    """
    if metric.of_quantiles:  # the trees predict no quantiles
        return ""
    rows, y = validation
    model = references(schema)["boosting"]
    model.fit(*train)
    predicted = predictions_of(schema, model, rows)
    comparison = compare(metric, y, predictions, [predicted], 0, 1, confidence, seed)
    if comparison.gain <= 0 or comparison.p_value >= 1 - confidence:
        return ""
    values = (metric.compute(y, predicted), metric.compute(y, predictions))
    return (
        f"boosted trees are better than this network on the validation rows: {metric.name} {values[0]:.4g} against "
        f"{values[1]:.4g} (p {comparison.p_value:.2g}); make references DATASET={schema.dataset} compares more models"
    )


def fit_and_score(
    schema: Schema, model: Any, train: tuple[np.ndarray, np.ndarray], validation: tuple[np.ndarray, np.ndarray]
) -> dict[str, float]:
    """Validation metrics, and the seconds of the fit. A model without probabilities counts as certain of its class."""
    started = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the limits of iterations are ours, not the user's
        model.fit(*train)
    seconds = time.perf_counter() - started
    predictions = predictions_of(schema, model, validation[0])
    values = {metric.name: metric.compute(validation[1], predictions) for metric in task_metrics(schema.task)}
    return {**{f"val_{name}": value for name, value in values.items() if value == value}, "seconds": seconds}


def predictions_of(schema: Schema, model: Any, rows: np.ndarray) -> np.ndarray:
    if schema.task == "regression":
        return np.asarray(model.predict(rows))
    if schema.task == "multilabel":
        return np.asarray(model.predict_proba(rows))
    if not hasattr(model, "predict_proba"):
        return np.eye(len(schema.classes))[np.asarray(model.predict(rows)).astype(int)]
    probabilities = np.zeros((len(rows), len(schema.classes)))
    probabilities[:, np.asarray(model.classes_).astype(int)] = model.predict_proba(rows)  # a sample may lack a class
    return probabilities


def _with_preprocessing(schema: Schema, model: Any) -> Any:
    """A pipeline: numbers imputed and standardised, categories one-hot encoded, then the model."""
    inputs = () if schema.image else schema.inputs  # pixels are numbers
    codes = [i for i, f in enumerate(inputs) if isinstance(f, CategoricalFeature)]
    numbers = [i for i in range(schema.input_width) if i not in codes]
    columns = [
        ("numbers", make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), numbers),
        ("codes", OneHotEncoder(handle_unknown="ignore"), codes),
    ]
    return make_pipeline(ColumnTransformer(columns), model)
