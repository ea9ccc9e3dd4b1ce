"""Test errors of the networks of `make bench-tables`, beside scikit-learn's boosted trees on the same rows."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from contracts.metrics import BY_NAME
from contracts.schema import CategoricalFeature, NumericTarget, Schema
from pipeline.data.splits import read_part
from pipeline.paths import Paths

SEEDS = range(1, 6)
PLAIN, OF_LOGARITHM = "plain", "of the logarithm"
LOGARITHM = {"target_scale": "log"}
MOST_CATEGORIES = 255  # the most categories that boosting takes


def score(name: str) -> dict[str, Any]:
    """Test metrics of the champion, of its hyperparameters for each seed, and of boosting, in a project's folder; the
    latter two for a number also where its logarithm is learned.
    """
    from contracts.bundle import open_bundle
    from contracts.settings.load import load_params
    from contracts.spec import Spec
    from models.training.data import Split
    from models.training.fit import fit
    from models.training.runtime import use_threads
    from pipeline.search.plan import make_plan
    from serving.predictor import Predictor

    use_threads(0)
    paths = Paths(name)
    settings = make_plan(load_params(Path("params.yaml"), name), paths)
    manifest, schema = open_bundle(paths.bundle)
    of = {part: read_part(paths.prepared / f"{part}.parquet", schema) for part in ("train", "validation", "test")}
    rows, y = of["test"]
    lowest = float(of["train"][1].min())
    champion = errors(schema, y, Predictor(paths.bundle).predict(rows), lowest)

    def trained(seed: int, changes: dict[str, Any]) -> dict[str, float]:
        network = fit(
            Spec(**{**manifest.hyperparameters, **changes}), schema, Split(*of["train"]), Split(*of["validation"]),
            monitor="rmsle" if changes == LOGARITHM else manifest.metric, higher_is_better=False,
            epochs=settings.epochs, patience=settings.train.patience, seed=seed,
        ).network  # fmt: skip
        raw = np.concatenate([np.asarray(network(part)) for part in np.array_split(rows, 8)])
        if schema.task == "binary":
            raw = np.concatenate([1 - raw, raw], axis=1)
        return errors(schema, y, raw[:, 0] if schema.task == "regression" else raw, lowest)

    forms: dict[str, dict[str, Any]] = {PLAIN: {}}
    if all(target.log is not None for target in schema.numbers) and schema.task == "regression":
        forms = {PLAIN: {"target_scale": "plain"}, OF_LOGARITHM: LOGARITHM}
    of_forms = {form: [trained(seed, changes) for seed in SEEDS] for form, changes in forms.items()}
    seeds = {
        form: {metric: [round(of_seed[metric], 6) for of_seed in of_seeds] for metric in champion}
        for form, of_seeds in of_forms.items()
    }
    return {"rows": sum(len(part[1]) for part in of.values()), "champion": champion, "seeds": seeds,
            "boosting": boosting(schema, of, lowest)}  # fmt: skip


def errors(schema: Schema, y: np.ndarray, predictions: np.ndarray, lowest: float) -> dict[str, float]:
    """1 − ROC AUC of classes; RMSE of a number, and of its logarithm, for which a prediction is at least `lowest`."""
    if not isinstance(schema.target, NumericTarget):
        return {"1 - auc": 1 - BY_NAME["roc_auc"].compute(y, predictions)}
    logs = [np.log(np.maximum(values.astype(np.float64), lowest)) for values in (y, predictions)]
    return {
        "rmse": float(np.sqrt(np.mean(np.square(predictions - y, dtype=np.float64)))),
        "rmse of log": float(np.sqrt(np.mean(np.square(logs[0] - logs[1])))),
    }


def boosting(schema: Schema, of: dict[str, tuple[np.ndarray, np.ndarray]], lowest: float) -> dict[str, dict]:
    """scikit-learn's HistGradientBoosting with its own categories and missing values, trained on the train rows until
    the validation rows get no better; for a number also of its logarithm.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    categorical = [isinstance(column, CategoricalFeature) for column in schema.inputs]
    columns = {part: rows.copy() for part, (rows, _) in of.items()}
    for position in np.flatnonzero(categorical):
        codes, counts = np.unique(columns["train"][:, position], return_counts=True)
        frequent = codes[np.argsort(-counts)][: MOST_CATEGORIES - 1]
        place = {code: float(number) for number, code in enumerate(frequent)}
        for part in columns.values():
            part[:, position] = [place.get(code, np.nan) for code in part[:, position]]
    settings = {"categorical_features": categorical, "max_iter": 500, "learning_rate": 0.05, "early_stopping": True,
                "n_iter_no_change": 20, "random_state": 0}  # fmt: skip
    targets = {part: target for part, (_, target) in of.items()}

    def fitted(model: Any, change: Any) -> Any:
        return model.fit(
            columns["train"], change(targets["train"]),
            X_val=columns["validation"], y_val=change(targets["validation"]),
        )  # fmt: skip

    if not isinstance(schema.target, NumericTarget):
        model = fitted(HistGradientBoostingClassifier(**settings), lambda y: y)
        return {PLAIN: errors(schema, targets["test"], model.predict_proba(columns["test"]), lowest)}
    plain = fitted(HistGradientBoostingRegressor(**settings), lambda y: y).predict(columns["test"])
    of_log = fitted(HistGradientBoostingRegressor(**settings), lambda y: np.log(np.maximum(y, lowest)))
    found = {PLAIN: plain, OF_LOGARITHM: np.exp(of_log.predict(columns["test"]))}
    return {what: errors(schema, targets["test"], predictions, lowest) for what, predictions in found.items()}


if __name__ == "__main__":
    print(json.dumps(score(sys.argv[1])))
