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
from sklearn.exceptions import ConvergenceWarning
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
    return {**models, "forest": RandomForestClassifier(**FOREST), "boosting": boosted, **trees}


class Trees:
    """Boosted trees of a library with scikit-learn's interface; they stop early on a tenth of the rows."""

    def __init__(self, library: str, schema: Schema) -> None:
        inputs = () if schema.image else schema.inputs
        self.library, self.width = library, schema.input_width
        self.codes = [i for i, feature in enumerate(inputs) if isinstance(feature, CategoricalFeature)]

    def fit(self, x: np.ndarray, y: np.ndarray) -> None:
        held_out = np.zeros(len(y), dtype=bool)
        held_out[np.argsort(y, kind="stable")[5::10]] = True  # with every class in proportion
        categorical = np.isin(np.arange(self.width), self.codes)
        rows = Rows((x[~held_out], y[~held_out]), (x[held_out], y[held_out]), categorical)
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
    if not hasattr(model, "predict_proba"):
        codes = np.asarray(model.predict(rows)).astype(int)
        return codes.astype(float) if schema.task == "multilabel" else np.eye(len(schema.classes))[codes]
    probabilities = model.predict_proba(rows)
    if isinstance(probabilities, list):
        return np.stack([label[:, 1] for label in probabilities], axis=1)
    return np.asarray(probabilities)


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
