"""Coverage and size of intervals and sets, and the calibration error, over 20 splits of each bundled dataset.

One network with early stopping a split, so without a search. Beside it scikit-learn's MLP with the same split conformal
method. Writes bench/results/intervals.json after each dataset; names of datasets as arguments run these alone.
"""

import sys
import warnings
from pathlib import Path
from typing import Any

from models.training.runtime import use_threads  # first: imports TensorFlow quietly  # isort: skip
import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table
from sklearn.exceptions import ConvergenceWarning

from bench import results
from bench.machine import machine
from contracts.conformal import conformal_scores, thresholds
from contracts.metrics import BY_NAME
from contracts.schema import Schema
from contracts.settings.load import load_params
from contracts.spec import Spec
from models.search.plan import batch_size_for
from models.training.calibration import apply_calibration, fit_calibration, member_probabilities
from models.training.data import Split
from models.training.fit import fit
from pipeline.data.partition import divide
from pipeline.data.schema_inference import infer_schema
from pipeline.data.splits import encode_rows
from pipeline.evaluation.calibration import calibration_error
from pipeline.evaluation.coverage import CONFIDENCES, coverage
from pipeline.evaluation.references import predictions_of, references
from pipeline.sources.readers import load_raw

RESULTS = Path("bench/results/intervals.json")
DATASETS = ("diabetes", "iris", "wine", "breast_cancer", "digits", "digit_properties", "linnerud")
SPLITS, EPOCHS, PATIENCE = 20, 200, 20
Parts = dict[str, tuple[np.ndarray, np.ndarray]]


def parts_of(dataset: str, seed: int) -> tuple[Schema, Parts]:
    """The schema, and encoded rows and targets of each part, as `preprocess` makes them with this seed."""
    params = load_params(Path("params.yaml"), dataset)
    table = load_raw(dataset, params.source, params.fetch, Path())
    settings = params.preprocess.model_copy(update={"seed": seed})
    rows, _ = divide(table, params.source, settings, by_class=params.source.task in ("multiclass", "binary"))
    schema = infer_schema(dataset, params.source, table.take(rows["train"]), "")
    return schema, {name: encode_rows(table.take(part), schema) for name, part in rows.items()}


def ours(schema: Schema, parts: Parts, seed: int) -> dict[str, float]:
    """Figures of a network on test rows, with the calibration that the export would make."""
    spec = Spec(
        depth=2, width=64, activation="relu", dropout=0.1, optimizer="adam", learning_rate=0.003,
        batch_size=batch_size_for(len(parts["train"][1])),
    )  # fmt: skip
    metric = "rmse" if schema.task == "regression" else "log_loss"
    train, validation = Split(*parts["train"]), Split(*parts["validation"])
    network = fit(
        spec, schema, train, validation, monitor=metric, higher_is_better=False, epochs=EPOCHS, patience=PATIENCE,
        seed=seed,
    ).network  # fmt: skip
    found: dict[str, float] = {}
    if schema.task != "regression":
        before = _outputs(schema, member_probabilities(network, parts["test"][0]))
        calibration = fit_calibration(member_probabilities(network, validation.features), validation.target)
        if calibration is not None:
            apply_calibration(network, calibration)
        after = _outputs(schema, member_probabilities(network, parts["test"][0]))
        y = parts["test"][1]
        found = {"calibrated": float(calibration is not None)}
        for name, p in (("before", before), ("after", after)):
            found[f"error_{name}"] = calibration_error(y, p)
            found[f"log_loss_{name}"] = BY_NAME["log_loss"].compute(y, p)
    predictions = {name: _outputs(schema, member_probabilities(network, rows)) for name, (rows, _) in parts.items()}
    return found | conformal(schema, parts, predictions)


def scikit_learn(schema: Schema, parts: Parts) -> dict[str, float]:
    """The same figures of scikit-learn's MLP."""
    model = references(schema)["mlp"].fit(*parts["train"])
    predictions = {name: np.asarray(predictions_of(schema, model, rows)) for name, (rows, _) in parts.items()}
    return conformal(schema, parts, predictions)


def conformal(schema: Schema, parts: Parts, predictions: dict[str, np.ndarray]) -> dict[str, float]:
    """Coverage and size on test rows; for classes also the coverage of sets that may be empty."""
    of_part = {name: values.reshape(len(parts[name][1]), -1) for name, values in predictions.items()}
    scores = conformal_scores(schema, parts["validation"][1], of_part["validation"])
    y, p = parts["test"][1], of_part["test"]
    found = coverage(schema, scores, y, p)
    if schema.picks_one:
        of_truth = 1 - p[np.arange(len(y)), y]
        found |= {f"exact_{c * 100:g}": float(np.mean(of_truth <= thresholds(scores, c))) for c in CONFIDENCES}
    return found


def _outputs(schema: Schema, members: np.ndarray) -> np.ndarray:
    p = members.mean(axis=1)
    return np.concatenate([1 - p, p], axis=1) if schema.task == "binary" else p


def _means(splits: list[dict[str, float]]) -> dict[str, float]:
    """The mean of each figure; a width that a split does not define has none."""
    means = {name: float(np.mean([split[name] for split in splits])) for name in splits[0]}
    return {name: round(mean, 4) for name, mean in means.items() if mean == mean}


def show(report: dict[str, Any]) -> None:
    columns = (
        "coverage_90", "exact_90", "coverage_95", "exact_95", "width_90", "size_90", "error_before", "error_after",
        "log_loss_before", "log_loss_after", "calibrated",
    )  # fmt: skip
    table = Table("dataset", "model", *(name.replace("_", " ") for name in columns), title=f"Means of {SPLITS} splits")
    for dataset, figures in report["datasets"].items():
        for model in ("ours", "scikit-learn"):
            table.add_row(dataset, model, *(f"{figures[model].get(name, float('nan')):.4g}" for name in columns))
    Console(width=170).print(table)


def main(datasets: tuple[str, ...]) -> None:
    use_threads(0)
    warnings.simplefilter("ignore", ConvergenceWarning)  # of scikit-learn's MLP, whose iterations are limited
    report = results.read(RESULTS)
    report = {"machine": machine(), "splits": SPLITS, "datasets": report.get("datasets", {})}
    for dataset in datasets:
        found: dict[str, list[dict[str, float]]] = {"ours": [], "scikit-learn": []}
        for seed in track(range(SPLITS), dataset, transient=True):
            schema, parts = parts_of(dataset, seed)
            found["ours"].append(ours(schema, parts, seed))
            found["scikit-learn"].append(scikit_learn(schema, parts))
        report["datasets"][dataset] = {model: _means(splits) for model, splits in found.items()}
        results.write(RESULTS, report)
    show(report)


if __name__ == "__main__":
    main(tuple(sys.argv[1:]) or DATASETS)
