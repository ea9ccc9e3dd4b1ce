"""evaluate: the champion on the test rows, which no other stage reads."""

import json

import numpy as np

from contracts.files import md5
from contracts.metrics import bootstrap_intervals, task_metrics
from contracts.settings.load import Params
from contracts.thresholds import metric_input
from pipeline.data.splits import read_part
from pipeline.evaluation import plots
from pipeline.evaluation.baselines import baseline_predictions
from pipeline.paths import Paths
from pipeline.tracking import runs
from pipeline.tracking.failures import optional
from serving.predictor import Predictor


def run(params: Params, paths: Paths) -> None:
    """Write test metrics with their intervals, and plots, to files and to the run of the champion's trial."""
    predictor = Predictor(paths.bundle, bulk_threads=0)
    schema, manifest = predictor.schema, predictor.manifest
    rows, y = read_part(paths.prepared / "test.parquet", schema)
    predictions, settings = predictor.predict(rows), params.evaluate
    predicted_baseline = baseline_predictions(schema, len(y))
    defined = [m for m in task_metrics(schema.task) if not np.isnan(m.compute(y, predicted_baseline))]
    inputs = {metric: metric_input(metric, predictions, manifest.threshold) for metric in defined}
    test = {metric.name: metric.compute(y, predicted) for metric, predicted in inputs.items()}
    intervals = bootstrap_intervals(inputs, y, settings.bootstrap_samples, settings.confidence, params.preprocess.seed)
    baseline = {metric.name: metric.compute(y, predicted_baseline) for metric in defined}
    report = {
        "test": test,
        "low": {name: low for name, (low, _) in intervals.items()},
        "high": {name: high for name, (_, high) in intervals.items()},
        "baseline": baseline,
    }
    # JSON has no NaN, which is the value of a metric that these rows do not define.
    report = {part: {name: v for name, v in values.items() if v == v} for part, values in report.items()}
    paths.metrics.parent.mkdir(parents=True, exist_ok=True)
    paths.metrics.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")

    paths.model_plots.mkdir(parents=True, exist_ok=True)  # DVC expects it, also where no picture can be drawn
    with optional("the picture of the learning curves"):
        history = plots.read_history(paths.bundle / "history.csv")
        curves = plots.learning_curves(history, manifest.metric, manifest.best_epoch)
        plots.save(curves, paths.model_plots / "learning_curves.png")
    with optional("the picture of the errors"):
        errors = {"regression": plots.residuals, "multilabel": plots.label_errors}.get(schema.task, plots.confusion)
        plots.save(errors(schema, y, inputs[defined[0]]), paths.model_plots / f"{errors.__name__}.png")
    with optional("the test metrics in MLflow"):
        client, experiment = runs.connect(params.dataset)
        run_id = runs.find_or_create_run(client, experiment, manifest.mlflow_run_id, f"trial {manifest.trial}")
        flat = {f"{part}.{name}": v for part, values in report.items() for name, v in values.items()}
        runs.log_metrics(client, run_id, flat)
        runs.log_files(client, run_id, sorted(paths.model_plots.iterdir()))
        test_file = paths.prepared / "test.parquet"
        runs.log_inputs(client, run_id, {"test": (test_file, md5(test_file))})
    first = defined[0].name
    low, high = intervals[first]
    interval = f"{settings.confidence:.0%} interval {low:.4g} to {high:.4g}"
    print(f"  {params.dataset}: test {first} {test[first]:.4g} ({interval})")
