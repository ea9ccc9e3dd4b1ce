"""Plots of a model, for `dvc plots show` and for its run in MLflow."""

import warnings
from collections.abc import Mapping
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from contracts.schema import Schema
from pipeline.evaluation.calibration import reliability

MOST_NAMED = 25  # classes or labels whose names and counts fit into a picture
plt.rcParams["text.parse_math"] = False  # a name may hold two dollar signs


def read_history(path: Path) -> dict[str, list[float]]:
    """Losses and metrics of all epochs, by name, from the `history.csv` of a bundle."""
    frame = pd.read_csv(path).drop(columns="epoch")
    return {str(name): frame[name].tolist() for name in frame}


def learning_curves(history: Mapping[str, list[float]], metric: str, best_epoch: int) -> Figure:
    """Loss and metric per epoch. Training values are means over an epoch, validation values are measured at its end, so
    that the training curve is shifted by half an epoch to the left (Géron, chapter 10).
    """
    names = list(dict.fromkeys(["loss", metric]))
    figure, axes = plt.subplots(1, len(names), figsize=(5 * len(names), 3.6), layout="constrained", squeeze=False)
    for axis, name in zip(axes[0], names, strict=True):
        epochs = np.arange(1, len(history[f"val_{name}"]) + 1)
        if name in history:  # some metrics are computed for validation rows alone
            axis.plot(epochs - 0.5, history[name], label="train")
        axis.plot(epochs, history[f"val_{name}"], label="validation")
        axis.axvline(best_epoch + 1, color="grey", linestyle=":", label=f"best: epoch {best_epoch + 1}")
        axis.set(xlabel="epoch", ylabel=name)
        axis.grid(alpha=0.3)
    axes[0][0].legend()
    return figure


def confusion(schema: Schema, y: np.ndarray, predictions: np.ndarray) -> Figure:
    """Counts of actual against predicted classes."""
    n_classes = len(schema.classes)
    counts = np.zeros((n_classes, n_classes), dtype=int)
    np.add.at(counts, (y, predictions.argmax(axis=1)), 1)
    size = max(4.0, 0.6 * min(n_classes, MOST_NAMED) + 1.5)
    figure, axis = plt.subplots(figsize=(size, size), layout="constrained")
    axis.imshow(counts, cmap="Blues")
    if n_classes <= MOST_NAMED:  # more names and counts are not readable, and take minutes
        for (row, column), count in np.ndenumerate(counts):
            axis.text(
                column, row, str(count), ha="center", va="center", color="white" if 2 * count > counts.max() else "C0"
            )
        axis.set_xticks(range(n_classes), schema.classes, rotation=45)
        axis.set_yticks(range(n_classes), schema.classes)
    axis.set(xlabel="predicted", ylabel="actual", title=f"{schema.dataset}, test: {len(y)} rows")
    return figure


def label_errors(schema: Schema, y: np.ndarray, predictions: np.ndarray) -> Figure:
    """False negatives and false positives of each label, or of those with the most errors."""
    positive = predictions >= 0.5
    negatives, positives = ((y == 1) & ~positive).sum(axis=0), ((y == 0) & positive).sum(axis=0)
    shown = np.sort(np.argsort(-(negatives + positives), kind="stable")[:MOST_NAMED])
    names = [schema.classes[label] for label in shown]
    figure, axis = plt.subplots(figsize=(7, 0.6 * len(names) + 1.5), layout="constrained")
    axis.barh(names, negatives[shown], label="false negatives")
    axis.barh(names, positives[shown], left=negatives[shown], label="false positives")
    part = f", {len(names)} of {len(schema.classes)} labels" if len(names) < len(schema.classes) else ""
    axis.set(xlabel="rows", title=f"{schema.dataset}, test: {len(y)} rows{part}")
    axis.legend()
    return figure


def calibration(schema: Schema, y: np.ndarray, predictions: np.ndarray) -> Figure:
    """The observed frequency by predicted probability, with two standard errors; on the diagonal both are the same."""
    promised, frequency, counts = reliability(y, predictions)
    figure, axis = plt.subplots(figsize=(4.5, 4.2), layout="constrained")
    axis.plot([0, 1], [0, 1], color="grey", linestyle=":")
    axis.errorbar(promised, frequency, 2 * np.sqrt(frequency * (1 - frequency) / counts), fmt="o-", markersize=4)
    of_what = "of the predicted class" if schema.task == "multiclass" else "predicted"
    axis.set(xlabel=f"probability {of_what}", ylabel="frequency", title=f"{schema.dataset}, test: {len(y)} rows")
    axis.grid(alpha=0.3)
    return figure


def residuals(schema: Schema, y: np.ndarray, predictions: np.ndarray) -> Figure:
    """Predicted against actual values, and a histogram of the errors."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
    left.scatter(y, predictions, s=8, alpha=0.4, linewidths=0)
    ends = [min(y.min(), predictions.min()), max(y.max(), predictions.max())]
    left.plot(ends, ends, color="grey", linestyle=":")
    left.set(xlabel=f"actual {schema.target.name}", ylabel="predicted", title=f"{schema.dataset}, test: {len(y)} rows")
    right.hist(predictions - y, bins="auto")
    right.axvline(0, color="grey", linestyle=":")
    right.set(xlabel="predicted − actual", ylabel="rows")
    return figure


def lr_range(rates: np.ndarray, losses: np.ndarray, suggested: float) -> Figure:
    """The loss by learning rate, and the suggested learning rate."""
    figure, axis = plt.subplots(figsize=(7, 3.6), layout="constrained")
    axis.plot(rates, losses)
    axis.axvline(suggested, color="grey", linestyle=":", label=f"suggested: {suggested:.2g}")
    axis.set(xscale="log", xlabel="learning rate", ylabel="loss, smoothed")
    axis.legend()
    axis.grid(alpha=0.3)
    return figure


def save(figure: Figure, path: Path) -> Path:
    """Write a figure without the version of matplotlib, so that equal figures are equal files."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # of emoji and other scripts in the names of classes
        figure.savefig(path, dpi=110, metadata={"Software": None})
    plt.close(figure)
    return path
