"""Explanations of the service beside shap's KernelExplainer: do they name the same features, and how long do they take.

Reads the bundles of `artifacts/`; explains some of their background rows, for each output. Runs in an environment of
its own, which has shap. Writes nothing. No result fails it.
"""

import sys
import time
from pathlib import Path

import numpy as np
import shap
from rich.console import Console
from rich.table import Table
from scipy.stats import spearmanr

from serving.explanation import explain, features_of_columns
from serving.predictor import Predictor

ROWS = 10
COALITIONS = 2**14  # of KernelExplainer: more than its default, which errs as much as we do; and all features, not ten


def measure(bundle: Path) -> list[str]:
    """A row of the table: columns, rank correlation, and times."""
    predictor = Predictor(bundle)
    background, schema = predictor.background, predictor.schema
    assert background is not None
    feature_of, outputs = features_of_columns(schema), len(schema.outputs)

    def predict(rows: np.ndarray) -> np.ndarray:
        return predictor.predict(np.asarray(rows, np.float32)).reshape(len(rows), outputs)

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
    milliseconds = [1000 * np.median(times) for times in (ours, theirs)]
    return [
        schema.dataset, str(len(schema.features)), f"{np.mean(correlations):.3f}", f"{np.min(correlations):.3f}",
        f"{milliseconds[0]:.1f}", f"{max(ours) * 1000:.1f}", f"{milliseconds[1]:.0f}",
    ]  # fmt: skip


def main(bundles: list[Path]) -> None:
    table = Table(title=f"{ROWS} rows of each dataset, every output")
    for column in ("dataset", "features", "rank correlation", "its least", "ms a row", "its most", "shap, ms a row"):
        table.add_column(column, justify="left" if column == "dataset" else "right")
    for bundle in bundles:
        if (bundle / "background.npy").exists():
            table.add_row(*measure(bundle))
    Console(width=110).print(table)


if __name__ == "__main__":
    main([Path(argument) for argument in sys.argv[1:]] or sorted(Path("artifacts").glob("*/bundle")))
