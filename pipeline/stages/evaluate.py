"""evaluate: the champion on the test rows, which no other stage reads."""

import json

import numpy as np
import pyarrow.parquet as pq

from contracts.bundle import Manifest
from contracts.encoding import predictions_of
from contracts.files import md5
from contracts.metrics import bootstrap_intervals, task_metrics
from contracts.quantiles import with_levels
from contracts.records import read_object
from contracts.settings.load import Params
from contracts.thresholds import metric_input
from pipeline.data.splits import encode_rows, encoded_columns, iter_rows, read_rows, sample_of
from pipeline.evaluation import plots
from pipeline.evaluation.baselines import baseline_input
from pipeline.evaluation.calibration import calibration_error, calibration_interval
from pipeline.evaluation.coverage import coverage
from pipeline.model_report.report import SAMPLE_ROWS, Known, Measured, write_report
from pipeline.paths import Paths
from pipeline.tracking import lineage, registry, runs
from pipeline.tracking.approval import count_test_read
from pipeline.tracking.failures import optional
from serving.predictor import Predictor


def run(params: Params, paths: Paths) -> None:
    """Write test metrics with their intervals, and plots, to files and to the MLflow run of the champion's trial."""
    predictor = Predictor(paths.bundle, bulk_threads=0)
    schema, manifest = predictor.schema, predictor.manifest
    test_file, reads, run_id = paths.prepared / "test.parquet", None, None
    test_md5 = md5(test_file)
    with optional("the count of readings of the test rows in MLflow"):
        client, experiment = runs.connect(params.dataset)
        reads = count_test_read(client, params.dataset, test_md5)
    encoded = (encode_rows(rows, schema) for rows in iter_rows(test_file, columns=encoded_columns(schema)))
    outputs, y = map(np.concatenate, zip(*((predictor.outputs(rows), y) for rows, y in encoded), strict=True))
    predictions, quantiles = predictions_of(schema, outputs), with_levels(schema, outputs)
    settings = params.evaluate
    baseline = {m.name: m.compute(y, baseline_input(m, schema, len(y))) for m in task_metrics(schema.task)}
    defined = [m for m in task_metrics(schema.task) if not np.isnan(baseline[m.name])]
    inputs = {metric: metric_input(metric, predictions, manifest.threshold, quantiles) for metric in defined}
    test = {metric.name: metric.compute(y, predicted) for metric, predicted in inputs.items()}
    sampled = (settings.bootstrap_samples, settings.confidence, params.preprocess.seed)
    intervals = bootstrap_intervals(inputs, y, *sampled)
    report = {
        "test": test,
        "low": {name: low for name, (low, _) in intervals.items()},
        "high": {name: high for name, (_, high) in intervals.items()},
        "baseline": baseline,
    }
    if schema.classes:
        ends = calibration_interval(y, predictions, *sampled)
        report["calibration"] = {"error": calibration_error(y, predictions), "low": ends[0], "high": ends[1]}
    if predictor.conformal_scores is not None:
        report["conformal"] = coverage(schema, predictor.conformal_scores, y, outputs if schema.levels else predictions)
    # JSON has no NaN, which is the value of a metric that these rows do not define.
    report = {part: {name: v for name, v in values.items() if v == v} for part, values in report.items()}
    paths.metrics.parent.mkdir(parents=True, exist_ok=True)
    written = {**report, "split": _split(params, paths, test_md5)}
    paths.metrics.write_text(json.dumps(written, indent=2) + "\n", encoding="utf-8")

    paths.model_plots.mkdir(parents=True, exist_ok=True)  # DVC expects the folder, even without a picture
    if not manifest.members:  # a mean of networks is not trained as a whole
        with optional("the picture of the learning curves"):
            history = plots.read_history(paths.bundle / "history.csv")
            curves = plots.learning_curves(history, manifest.metric, manifest.best_epoch)
            plots.save(curves, paths.model_plots / "learning_curves.png")
    with optional("the picture of the errors"):
        errors = {"regression": plots.residuals, "multilabel": plots.label_errors}.get(schema.task, plots.confusion)
        plots.save(errors(schema, y, inputs[defined[0]]), paths.model_plots / f"{errors.__name__}.png")
    if schema.classes:
        with optional("the picture of the calibration"):
            plots.save(plots.calibration(schema, y, predictions), paths.model_plots / "reliability.png")
    with optional("the test metrics in MLflow"):
        client, experiment = runs.connect(params.dataset)
        run_id = runs.find_or_create_run(client, experiment, manifest.mlflow_run_id, manifest.made_of)
        flat = {f"{part}.{name}": v for part, values in report.items() for name, v in values.items()}
        runs.log_metrics(client, run_id, flat)
        runs.log_files(client, run_id, sorted(paths.model_plots.iterdir()))
        runs.log_inputs(client, run_id, {"test": (test_file, test_md5)})
    known = Known()
    with optional("what MLflow knows, in the report"):
        known = _known(params, paths, manifest, test_md5)
    sample = (SAMPLE_ROWS, params.preprocess.seed)
    table, shown = read_rows(test_file, *sample), sample_of(len(y), *sample)
    measured = Measured(predictor.predict, table, y, predictions, report, settings.confidence, reads, shown)
    write_report(paths, manifest, schema, measured, known, params.preprocess.seed)
    if run_id is not None:
        with optional("the report in MLflow"):
            runs.log_files(client, run_id, [paths.report, paths.model_card])
    first = defined[0].name
    low, high = intervals[first]
    interval = f"{settings.confidence:.0%} interval {low:.4g} to {high:.4g}"
    counted = "" if reads is None else f"; these test rows were read {'once' if reads == 1 else f'{reads} times'}"
    print(f"  {params.dataset}: test {first} {test[first]:.4g} ({interval}){counted}")


def _split(params: Params, paths: Paths, test_md5: str) -> dict[str, str | int]:
    """The rule that divided the rows, and the size of each part. Figures of two files can be compared if these are the
    same.
    """
    rule = params.source.splits_by
    parts = ("train", "validation", "test")
    rows = {f"{part}_rows": pq.read_metadata(paths.prepared / f"{part}.parquet").num_rows for part in parts}
    column = {} if rule.column is None else {"column": rule.column}
    return {"by": rule.by, **column, "seed": params.preprocess.seed, **rows, "test_md5": test_md5}


def _known(params: Params, paths: Paths, manifest: Manifest, test_md5: str) -> Known:
    """Facts from the registry and other runs about the version that is served and its predecessors."""
    client, experiment = runs.connect(params.dataset)
    selection = read_object(paths.selection, "version", "champion_before")
    version, last = selection["version"], (selection["champion_before"] or {}).get("name", "").removeprefix("version ")
    return Known(
        lineage.of_version(client, params.dataset, version, params.model_dump(mode="json", by_alias=True)),
        registry.test_figures(client, params.dataset, last, test_md5) if last and last != version else {},
        lineage.references(client, experiment, manifest.metric, manifest.validation_md5),
    )
