"""Reference models of scikit-learn, trained and scored on the same rows as the networks."""

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
    multiple = len(schema.outputs) > 1
    if schema.task == "regression":
        boosting: Any = HistGradientBoostingRegressor(**BOOSTING)
        return {
            "ridge": _with_preprocessing(schema, Ridge()),
            "mlp": _with_preprocessing(
                schema, MLPRegressor(hidden_layer_sizes=(50, 50, 50), random_state=0, max_iter=300)
            ),
            "boosting": MultiOutputRegressor(boosting) if multiple else boosting,
        }
    # Early stopping holds out a tenth of the rows.
    boosting = HistGradientBoostingClassifier(**BOOSTING)
    models: dict[str, Any] = {
        "logistic": LogisticRegression(max_iter=1000),
        "mlp": MLPClassifier(hidden_layer_sizes=(100,), random_state=0, max_iter=300),
        "perceptron": Perceptron(random_state=0),
    }
    if schema.task == "multilabel":
        models = {name: MultiOutputClassifier(model) for name, model in models.items()}
        boosting = MultiOutputClassifier(boosting)
    return {**{name: _with_preprocessing(schema, model) for name, model in models.items()}, "boosting": boosting}


def fit_and_score(
    schema: Schema, model: Any, train: tuple[np.ndarray, np.ndarray], validation: tuple[np.ndarray, np.ndarray]
) -> dict[str, float]:
    """Validation metrics, and the seconds of the fit. A class without probability counts as certain."""
    started = time.perf_counter()
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
