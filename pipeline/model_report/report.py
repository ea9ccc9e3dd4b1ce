"""The report of a model for a reviewer, as one HTML file, and the same as a model card in Markdown."""

import csv
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jinja2 import Environment, FileSystemLoader
from markdown_it import MarkdownIt
from markupsafe import Markup

from contracts.bundle import Manifest
from contracts.encoding import decide
from contracts.errors import count
from contracts.files import write_atomically
from contracts.metrics import BY_NAME, Metric, task_metrics
from contracts.records import read_object
from contracts.schema import Schema
from pipeline.data.splits import read_part
from pipeline.data_report.charts import LINES
from pipeline.data_report.columns import read_columns
from pipeline.evaluation.calibration import reliability
from pipeline.evaluation.plots import read_history
from pipeline.model_report import pictures
from pipeline.model_report.card import as_markdown, card_mark, front_matter
from pipeline.model_report.importance import partial_dependence, permutation_importance
from pipeline.model_report.slices import Slice, groups_of, worst
from pipeline.paths import Paths
from pipeline.tracking.failures import optional

HERE = Path(__file__).parent
STYLES = (HERE.parent / "data_report/page.css", HERE / "page.css")
MOST_FEATURES, MOST_CURVES = 20, 6
SAMPLE_ROWS = 200_000  # rows of a part for slices and features
MOST_CLASSES = 25  # most classes in a picture of confusions
TASKS = {
    "regression": "regression",
    "multilabel": "multilabel classification",
    "binary": "classification in two classes",
}


@dataclass(frozen=True)
class Measured:
    """The figures of `evaluate` on the test rows, and the model.

    `table` holds the rows as they are in the data; of many rows only those with the numbers `shown`. `figures` holds
    the content of `metrics/<dataset>.json`; `reads` says how often these rows were read by now.
    """

    predict: Callable[[np.ndarray], np.ndarray]
    table: pa.Table
    y: np.ndarray
    predictions: np.ndarray
    figures: Mapping[str, Mapping[str, float]]
    confidence: float
    reads: int | None
    shown: np.ndarray | None = None


@dataclass(frozen=True)
class Known:
    """Facts from the registry: the origin of the version, the figures of the last champion on the same test rows, and
    those of reference models on the same validation rows.
    """

    lineage: Mapping[str, str] = field(default_factory=dict)
    last_champion: Mapping[str, float] = field(default_factory=dict)
    references: Mapping[str, float] = field(default_factory=dict)


def write_report(paths: Paths, manifest: Manifest, schema: Schema, measured: Measured, known: Known, seed: int) -> None:
    """Write `report.html` and `model_card.md`. A part that fails is left out with a warning."""
    facts = _facts(paths, manifest, schema, measured, known, seed)
    environment = Environment(loader=FileSystemLoader(HERE), autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters["figure"] = _figure
    style = "\n".join(path.read_text(encoding="utf-8") for path in STYLES)
    page = environment.get_template("page.html").render(style=style, **facts)
    plain = environment.overlay(autoescape=False, finalize=as_markdown)
    card = plain.get_template("card.md").render(front=Markup(front_matter(facts)), **facts)  # noqa: S704 - JSON
    for path, text in ((paths.report, page), (paths.model_card, card)):
        with write_atomically(path) as unfinished:
            unfinished.write_text(text, encoding="utf-8")


def _facts(
    paths: Paths, manifest: Manifest, schema: Schema, measured: Measured, known: Known, seed: int
) -> dict[str, Any]:
    """All facts of the page and the card, by name."""
    y, predictions, metrics = measured.y, measured.predictions, task_metrics(schema.task)
    facts: dict[str, Any] = {
        "schema": schema, "task": TASKS.get(schema.task, f"classification in {len(schema.classes)} classes"),
        "target": schema.target.name, "manifest": manifest, "known": known,
        "confidence": measured.confidence, "reads": measured.reads,
        "selection": read_object(paths.selection),
        "rows": {part: _n_rows(paths, part) for part in ("train", "validation")} | {"test": len(y)},
        "figures": [_row(metric, measured, known) for metric in metrics if metric.name in measured.figures["test"]],
        "warnings": _read_json(paths.prepared / "warnings.json"),
        "search": _search(paths.candidates / "trials.csv"),
        "card": None, "card_path": paths.card, "card_mark": card_mark(paths), "curves": [], "errors": [], "slices": [],
        "calibration": measured.figures.get("calibration"), "conformal": measured.figures.get("conformal"),
        "slice_metric": _metric_of_rows(manifest),
        "sample": None if measured.shown is None else len(measured.shown),
    }  # fmt: skip
    candidates = facts["selection"]["candidates"]
    facts["gates"] = [(c["name"], gate) for c in candidates for gate in c.get("gates", ())]
    if paths.card.exists():
        text = paths.card.read_text(encoding="utf-8").strip()
        facts["card_text"] = Markup(text)  # noqa: S704 - the team's own Markdown, for the card alone
        facts["card"] = Markup(MarkdownIt("commonmark", {"html": False}).render(text))  # noqa: S704
    if not manifest.members:  # a mean of networks is not trained as a whole
        with optional("the learning curves of the report"):
            history = read_history(paths.bundle / "history.csv")
            facts["curves"] = pictures.learning_curves(history, manifest.metric, manifest.best_epoch)
    with optional("the errors of the report"):
        facts["errors"] = _errors(schema, y, predictions, manifest.threshold, seed)
    with optional("the slices of the report"):
        facts["slices"] = _slices(schema, facts["slice_metric"], measured)
    with optional("the importance of features in the report"):
        facts |= _importance(paths, schema, measured, facts["slice_metric"], seed)
    if schema.classes:
        with optional("the calibration of the report"):
            promised, happened, rows = reliability(y, predictions)
            spread = 1.96 * np.sqrt(happened * (1 - happened) / rows)
            facts["reliability"] = pictures.reliability(promised, happened, spread)
    return facts


def _row(metric: Metric, measured: Measured, known: Known) -> dict[str, Any]:
    parts = {part: values.get(metric.name) for part, values in measured.figures.items()}
    return {
        "name": metric.name,
        "higher": metric.higher_is_better,
        **parts,
        "last": known.last_champion.get(metric.name),
    }


def _metric_of_rows(manifest: Manifest) -> Metric:
    """The metric for groups and features: the one that chose the model, if it is a mean over rows."""
    metric = BY_NAME[manifest.metric]
    decides = metric.of_decisions and manifest.threshold is not None
    if metric.row_values is not None and not (decides or metric.of_quantiles):
        return metric
    return BY_NAME["rmse" if manifest.task == "regression" else "log_loss"]


def _errors(
    schema: Schema, y: np.ndarray, predictions: np.ndarray, threshold: float | None, seed: int
) -> list[tuple[str, Markup]]:
    """Captions and pictures: confusions of classes and labels, residuals of numbers."""
    if schema.task == "regression":
        actual, predicted = (values.reshape(len(y), -1).astype(float) for values in (y, predictions))
        return [
            pair
            for i, name in enumerate(schema.outputs)
            for pair in (
                (f"{name}: predicted against actual", pictures.scatter(actual[:, i], predicted[:, i], seed)),
                (f"{name}: errors", pictures.histogram(predicted[:, i] - actual[:, i], "predicted − actual")),
            )
        ]
    if schema.task == "multilabel":
        return [
            (name, pictures.confusion(("no", "yes"), _counts(y[:, i] == 1, predictions[:, i] >= 0.5, 2)))
            for i, name in enumerate(schema.classes[:MOST_CLASSES])
        ]
    if len(schema.classes) > MOST_CLASSES:
        return []
    counts = _counts(y, decide(predictions, threshold), len(schema.classes))
    return [("Actual class (down) and predicted class (across)", pictures.confusion(schema.classes, counts))]


def _counts(actual: np.ndarray, predicted: np.ndarray, size: int) -> np.ndarray:
    return np.bincount(actual.astype(int) * size + predicted.astype(int), minlength=size * size).reshape(size, size)


def _slices(schema: Schema, metric: Metric, measured: Measured) -> list[Slice]:
    y, predictions, classes = measured.y, measured.predictions, {}
    if measured.shown is not None:
        y, predictions = y[measured.shown], predictions[measured.shown]
    if schema.picks_one:
        classes = {f"{schema.target.name}: {name}": y == code for code, name in enumerate(schema.classes)}
    columns = [] if schema.image is not None else read_columns(schema, {"measured": measured.table})
    return worst(metric, y, predictions, groups_of(columns, classes))


def _importance(paths: Paths, schema: Schema, measured: Measured, metric: Metric, seed: int) -> dict[str, Any]:
    """The importance of features or tiles, and the curves of the most important features, on validation rows."""
    rows, y = read_part(paths.prepared / "validation.parquet", schema, SAMPLE_ROWS, seed)
    found = permutation_importance(schema, measured.predict, metric, rows, y, seed)
    shown = sorted(found, key=lambda entry: -entry.value)[:MOST_FEATURES]
    if schema.image is not None:
        picture = pictures.tiles(schema.image, [entry.value for entry in found])
        return {"importance": shown, "importance_picture": picture}
    names, *values = zip(*((entry.name, entry.value, entry.low, entry.high) for entry in shown), strict=True)
    outputs = [1] if schema.task == "binary" else list(range(min(len(schema.outputs), LINES)))
    tried = [partial_dependence(schema, measured.predict, rows, entry.name) for entry in shown[:MOST_CURVES]]
    curves = [(d.name, d.x, d.y[:, outputs]) for d in tried if d is not None]
    return {
        "importance": shown,
        "importance_picture": pictures.bars(names, *(np.array(column) for column in values)),
        "dependence_of": [schema.outputs[i] for i in outputs],
        "dependence": [
            (name, pictures.curves(x, y, name, np.concatenate([other for _, _, other in curves])))
            for name, x, y in curves
        ],
    }


def _search(path: Path) -> dict[str, Any]:
    """How many trials there were, how many of them ended early, and the seconds of all."""
    with path.open(newline="", encoding="utf-8") as file:
        trials = list(csv.DictReader(file))
    ended = [trial for trial in trials if trial.get("datetime_start") and trial.get("datetime_complete")]
    time = datetime.fromisoformat
    seconds = sum((time(t["datetime_complete"]) - time(t["datetime_start"])).total_seconds() for t in ended)
    states = [trial.get("state", "").lower() for trial in trials]
    counts = {"trials": count(len(trials), "trial"), "pruned": states.count("pruned"), "failed": states.count("fail")}
    return counts | {"seconds": seconds, "rows": _describe_rows(trials)}


def _describe_rows(trials: list[dict[str, str]]) -> str:
    """The numbers of train rows of the trials, if `search.rows` gave them a sample; else empty."""
    most = [int(trial["most_train_rows"]) for trial in trials if trial.get("most_train_rows")]
    again = [n_rows for n_rows in sorted(set(most)) if n_rows > int(trials[0]["train_rows"])]
    on = ", ".join(f"{n_rows:,} ({sum(rows >= n_rows for rows in most)})" for n_rows in again)
    return on and f"Trials trained on {int(trials[0]['train_rows']):,} train rows, the best of them again on {on}. "


def _n_rows(paths: Paths, part: str) -> int:
    return int(pq.read_metadata(paths.prepared / f"{part}.parquet").num_rows)


def _read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else []


def _figure(value: float | None) -> str:
    return "" if value is None or value != value else f"{value:.4g}"
