"""What networks are compared with: scikit-learn's models on the same rows, as runs of the same experiment."""

import time
from typing import Any

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Perceptron, Ridge
from sklearn.multioutput import MultiOutputClassifier, MultiOutputRegressor
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from contracts.metrics import task_metrics
from contracts.schema import CategoricalFeature, Schema

BOOSTING = {"max_iter": 500, "learning_rate": 0.05, "early_stopping": True, "random_state": 0}


def references(schema: Schema) -> dict[str, Any]:
    """Untrained models by name: linear, boosted trees, scikit-learn's MLP, and the Perceptron for classes."""
    several = len(schema.outputs) > 1
    if schema.task == "regression":
        boosting: Any = HistGradientBoostingRegressor(**BOOSTING)
        return {
            "ridge": _prepared(schema, Ridge()),
            "mlp": _prepared(schema, MLPRegressor(hidden_layer_sizes=(50, 50, 50), random_state=0, max_iter=300)),
            "boosting": MultiOutputRegressor(boosting) if several else boosting,
        }
    # A tenth of the rows is kept back to stop early, which a few rows per class do not allow.
    boosting = HistGradientBoostingClassifier(**BOOSTING)
    models: dict[str, Any] = {
        "logistic": LogisticRegression(max_iter=1000),
        "mlp": MLPClassifier(hidden_layer_sizes=(100,), random_state=0, max_iter=300),
        "perceptron": Perceptron(random_state=0),
    }
    if schema.task == "multilabel":
        models = {name: MultiOutputClassifier(model) for name, model in models.items()}
        boosting = MultiOutputClassifier(boosting)
    return {**{name: _prepared(schema, model) for name, model in models.items()}, "boosting": boosting}


def fit_and_score(
    schema: Schema, model: Any, train: tuple[np.ndarray, np.ndarray], validation: tuple[np.ndarray, np.ndarray]
) -> dict[str, float]:
    """Metrics on validation, and the seconds of the fit. Without probabilities classes count as certain."""
    started = time.perf_counter()
    model.fit(*train)
    seconds = time.perf_counter() - started
    predictions = _predictions(schema, model, validation[0])
    values = {metric.name: metric.compute(validation[1], predictions) for metric in task_metrics(schema.task)}
    return {**{f"val_{name}": value for name, value in values.items() if value == value}, "seconds": seconds}


def _predictions(schema: Schema, model: Any, rows: np.ndarray) -> np.ndarray:
    if schema.task == "regression":
        return np.asarray(model.predict(rows))
    if not hasattr(model, "predict_proba"):
        said = np.asarray(model.predict(rows)).astype(int)
        return said.astype(float) if schema.task == "multilabel" else np.eye(len(schema.classes))[said]
    probabilities = model.predict_proba(rows)
    if isinstance(probabilities, list):
        return np.stack([of_label[:, 1] for of_label in probabilities], axis=1)
    return np.asarray(probabilities)


def _prepared(schema: Schema, model: Any) -> Any:
    """The model after imputed and standardised numbers and one-hot categories."""
    codes = [i for i, f in enumerate(schema.inputs) if isinstance(f, CategoricalFeature)]
    numbers = [i for i in range(schema.input_width) if i not in codes]
    columns = [
        ("numbers", make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), numbers),
        ("codes", OneHotEncoder(handle_unknown="ignore"), codes),
    ]
    return make_pipeline(ColumnTransformer(columns), model)
