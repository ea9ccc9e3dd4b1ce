"""Coverage and size of intervals and sets, and the calibration error, over 20 splits of each dataset.

The datasets are the bundled ones and the tables of `$DATA_MIRROR/tables`. Each split trains one network with early
stopping, without a search; for a number also one of quantiles, whose intervals differ between rows. MAPIE uses
scikit-learn's MLP, or its boosted trees for many rows. Writes bench/results/intervals.json after each dataset; names of
datasets as arguments run these alone.
"""

import json
import os
import subprocess
import sys
import tempfile
import warnings
from math import nan
from pathlib import Path
from typing import Any

from models.training.runtime import use_threads  # first: imports TensorFlow quietly  # isort: skip
import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table
from sklearn.exceptions import ConvergenceWarning

from bench import quality, results
from bench.machine import machine
from bench.tables import folder_of_tables
from contracts.conformal import conformal_scores, thresholds
from contracts.metrics import BY_NAME
from contracts.schema import NumericTarget, Schema
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
BUNDLED = ("diabetes", "iris", "wine", "breast_cancer", "digits", "digit_properties", "linnerud")
MAPIE = Path("var/bench-intervals/bin/python")
SPLITS, PATIENCE = 20, 20
SEEN = 300_000  # train rows in all epochs together, between 10 and 200 epochs
LEVELS = (0.025, 0.05, 0.5, 0.95, 0.975)
MANY = 5_000  # train rows from which on MAPIE uses scikit-learn's boosted trees
Parts = dict[str, tuple[np.ndarray, np.ndarray]]


def parts_of(dataset: str, table: str | None, seed: int) -> tuple[Schema, Parts]:
    """The schema, and encoded rows and targets of each part, as `preprocess` makes them with this seed.

    Args:
        table: what the catalog's file of a table holds; None for a bundled dataset.
    """
    if table is not None:
        split = quality.prepare(dataset, table, seed, quality.FOLDER / f"{dataset}-intervals")
        return split.schema, split.parts
    params = load_params(Path("params.yaml"), dataset)
    raw = load_raw(dataset, params.source, params.fetch, Path())
    settings = params.preprocess.model_copy(update={"seed": seed})
    rows, _ = divide(raw, params.source, settings, by_class=params.source.task in ("multiclass", "binary"))
    schema = infer_schema(dataset, params.source, raw.take(rows["train"]), "")
    return schema, {name: encode_rows(raw.take(part), schema) for name, part in rows.items()}


def ours(schema: Schema, parts: Parts, seed: int) -> dict[str, float]:
    """Figures of a network on test rows, with the calibration of an export."""
    spec = Spec(
        depth=2, width=64, activation="relu", dropout=0.1, optimizer="adam", learning_rate=0.003,
        batch_size=batch_size_for(len(parts["train"][1])),
    )  # fmt: skip
    metric = "rmse" if schema.task == "regression" else "log_loss"
    metric = "quantile_loss" if schema.levels else metric
    train, validation = Split(*parts["train"]), Split(*parts["validation"])
    epochs = min(200, max(10, SEEN // len(train.target)))
    network = fit(
        spec, schema, train, validation, monitor=metric, higher_is_better=False, epochs=epochs, patience=PATIENCE,
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


def with_quantiles(schema: Schema) -> Schema | None:
    """The schema of a network that predicts `LEVELS`, whose train values only a baseline needs; None for several
    numbers and for classes.
    """
    if not isinstance(schema.target, NumericTarget):
        return None
    target = schema.target.model_copy(update={"quantiles": tuple((level, 0.0) for level in LEVELS)})
    return schema.model_copy(update={"target": target})


def of_scikit_learn(schema: Schema, parts: Parts) -> dict[str, np.ndarray]:
    """Predictions of scikit-learn's model, and the targets, of the rows that MAPIE needs."""
    model = references(schema)["mlp" if len(parts["train"][1]) < MANY else "boosting"]
    model.fit(*parts["train"])
    found = {}
    for name in ("validation", "test"):
        rows, y = parts[name]
        found |= {f"{name}_p": np.asarray(predictions_of(schema, model, rows)), f"{name}_y": y}
    return found


def mapie(schema: Schema, splits: list[dict[str, np.ndarray]]) -> list[dict[str, float]]:
    """The figures of MAPIE over scikit-learn's predictions, for each split; none for several numbers or labels."""
    if len(schema.outputs) > 1 and not schema.picks_one:
        return []
    with tempfile.TemporaryDirectory() as folder:
        for i, arrays in enumerate(splits):
            np.savez(Path(folder) / f"{i}.npz", **arrays)
        command = [str(MAPIE), "-m", "bench.peers.intervals_mapie", schema.task, folder, *map(str, CONFIDENCES)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


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
    means = {name: float(np.mean([split[name] for split in splits])) for name in (splits or [{}])[0]}
    return {name: round(mean, 4) for name, mean in means.items() if mean == mean}


def show(report: dict[str, Any]) -> None:
    columns = (
        "coverage_90", "exact_90", "coverage_95", "exact_95", "width_90", "size_90", "error_before", "error_after",
        "log_loss_before", "log_loss_after", "calibrated",
    )  # fmt: skip
    table = Table("dataset", "model", *(name.replace("_", " ") for name in columns), title=f"Means of {SPLITS} splits")
    for dataset, figures in report["datasets"].items():
        for model in ("ours", "quantiles", "mapie"):
            values = figures.get(model, {})
            table.add_row(dataset, model, *(f"{values.get(name, nan):.4g}" for name in columns))
    Console(width=170).print(table)


def main(asked: list[str]) -> None:
    use_threads(0)
    warnings.simplefilter("ignore", ConvergenceWarning)  # of scikit-learn's MLP, whose iterations are limited
    tables = quality.find_tables(folder_of_tables([])) if os.environ.get("DATA_MIRROR") else {}
    names = asked or [*BUNDLED, *(name for name in tables if name not in quality.OF_CATALOG)]
    report = results.read(RESULTS)
    report = {"machine": machine(), "splits": SPLITS, "datasets": report.get("datasets", {})}
    for dataset in names:
        found, of_quantiles, predictions = [], [], []
        for seed in track(range(SPLITS), dataset, transient=True):
            schema, parts = parts_of(dataset, tables.get(dataset), seed)
            found.append(ours(schema, parts, seed))
            if (other := with_quantiles(schema)) is not None:
                of_quantiles.append(ours(other, parts, seed))
            predictions.append(of_scikit_learn(schema, parts))
        figures = {"ours": found, "quantiles": of_quantiles, "mapie": mapie(schema, predictions)}
        report["datasets"][dataset] = {model: _means(splits) for model, splits in figures.items()}
        results.write(RESULTS, report)
    show(report)


if __name__ == "__main__":
    main(sys.argv[1:])
