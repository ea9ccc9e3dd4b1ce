"""Explanations of the service beside shap's KernelExplainer: whether both name the same features, and how long they
take.

Reads the bundles of `artifacts/`; explains some of their background rows, for each output. Runs in an environment of
its own, which has shap. Writes bench/results/explain.json after each bundle. No result fails it.
"""

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import shap
from rich.console import Console
from rich.table import Table
from scipy.stats import spearmanr

from bench import results
from bench.machine import machine
from serving.explanation import explain, features_of_columns
from serving.predictor import Predictor

RESULTS = Path("bench/results/explain.json")
ROWS = 10
COALITIONS = 2**14  # of KernelExplainer: more than its default, which is as inexact as our values; all features
AT_ONCE = 8192  # rows of one prediction


def measure(bundle: Path) -> dict[str, Any]:
    """Features, parameters, rank correlations over rows and outputs, and milliseconds a row."""
    predictor = Predictor(bundle)
    background, schema = predictor.background, predictor.schema
    assert background is not None
    feature_of, outputs = features_of_columns(schema), len(schema.outputs)

    def predict(rows: np.ndarray) -> np.ndarray:
        parts = np.array_split(np.asarray(rows, np.float32), -(-len(rows) // AT_ONCE))  # all at once need many GB
        return np.concatenate([predictor.predict(part).reshape(len(part), outputs) for part in parts])

    correlations, ours, theirs = [], [], []
    kernel = shap.KernelExplainer(predict, background, silent=True)
    for row in background[:ROWS]:
        started = time.perf_counter()
        found = explain(predict, row, background, feature_of, predictor.work)
        ours.append(time.perf_counter() - started)
        started = time.perf_counter()
        other = kernel.shap_values(row[None], silent=True, nsamples=COALITIONS, l1_reg=False)[0]
        theirs.append(time.perf_counter() - started)
        correlations += [spearmanr(found.values[:, i], other[:, i]).statistic for i in range(outputs)]
    return {
        "features": len(schema.features),
        "parameters": predictor.manifest.n_parameters,
        "rank_correlation": round(float(np.mean(correlations)), 4),
        "rank_correlation_least": round(float(np.min(correlations)), 4),
        "ms": round(1000 * float(np.median(ours)), 1),
        "ms_most": round(1000 * max(ours), 1),
        "shap_ms": round(1000 * float(np.median(theirs))),
    }


def main(bundles: list[Path]) -> None:
    report = results.read(RESULTS)
    about = {"machine": machine("shap", "numpy", "onnxruntime"), "rows": ROWS, "coalitions": COALITIONS}
    report = {**about, "datasets": report.get("datasets", {})}
    for bundle in bundles:
        if (bundle / "background.npy").exists():
            report["datasets"][bundle.parent.name] = measure(bundle)
            results.write(RESULTS, report)
    table = Table("dataset", title=f"{ROWS} rows of each dataset, every output, beside shap's KernelExplainer")
    columns = list(next(iter(report["datasets"].values()), {}))
    for column in columns:
        table.add_column(column.replace("_", " "), justify="right")
    for dataset, figures in report["datasets"].items():
        table.add_row(dataset, *(f"{figures[column]:,}" for column in columns))
    Console(width=130).print(table)


if __name__ == "__main__":
    main([Path(argument) for argument in sys.argv[1:]] or sorted(Path("artifacts").glob("*/bundle")))
