"""What fails after a model is chosen: a picture, a log entry, a report. The run goes on; a full disk ends it."""

import errno
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from contracts.bundle import check_bundle, seal
from contracts.metrics import task_metrics
from contracts.settings.load import load_params
from pipeline.environment import prepare_environment
from pipeline.paths import Paths
from pipeline.stages import evaluate
from pipeline.tables import TARGET, write_rows
from pipeline.tracking import registry, runs
from pipeline.tracking.failures import optional
from tests.serving.bundles import TICKETS, make_bundle

ROOT = Path(__file__).parents[2]


@pytest.fixture
def tested(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Params and paths of a dataset whose bundle is made and whose test rows are prepared."""
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    prepare_environment()
    paths = Paths("tickets", tmp_path)
    make_bundle(TICKETS, paths.bundle)
    manifest = check_bundle(paths.bundle)
    rates = {name: np.linspace(2, 1, 3) for name in ("loss", "log_loss", "val_loss", "val_log_loss")}
    pd.DataFrame({"epoch": [1, 2, 3], **rates}).to_csv(paths.bundle / "history.csv", index=False)
    seal(paths.bundle, manifest)
    paths.prepared.mkdir(parents=True)
    rows = pd.DataFrame([TICKETS.sample] * 30).assign(**{TARGET: list(TICKETS.classes) * 10})
    for part in ("train", "validation", "test"):
        write_rows(paths.prepared / f"{part}.parquet", pa.Table.from_pandas(rows, preserve_index=False))
    paths.candidates.mkdir()
    (paths.candidates / "trials.csv").write_text("number,state\n0,COMPLETE\n")
    selection = {"metric": "log_loss", "candidates": [], "champion_before": None, "baseline": 1.0, "version": "1"}
    paths.selection.write_text(json.dumps(selection))
    settings = load_params(ROOT / "params.yaml", "iris")
    small = settings.evaluate.model_copy(update={"bootstrap_samples": 5})
    return settings.model_copy(update={"dataset": "tickets", "evaluate": small}), paths


def test_evaluate_goes_on_without_a_picture_and_without_its_store(tested, monkeypatch, capsys) -> None:
    params, paths = tested
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setattr("pipeline.evaluation.plots.confusion", lambda *_: 1 / 0)
    evaluate.run(params, paths)
    said = capsys.readouterr()
    assert "warning: without the picture of the errors: ZeroDivisionError: division by zero" in said.err
    assert "warning: without the test metrics in MLflow: UserError: no MLflow server answers" in said.err
    assert "tickets: test accuracy" in said.out
    received = set(json.loads(paths.metrics.read_text())["test"])
    assert received == {metric.name for metric in task_metrics("multiclass")}
    assert sorted(path.name for path in paths.model_plots.iterdir()) == ["learning_curves.png", "reliability.png"]
    assert "Figures" in paths.report.read_text()


def test_evaluate_warns_of_nothing_where_nothing_fails(tested, capsys) -> None:
    params, paths = tested
    client, _ = runs.connect("tickets")
    registry.register_bundle(client, "tickets", paths.bundle, np.zeros(1, np.uint64), "{}")
    evaluate.run(params, paths)
    assert "warning" not in capsys.readouterr().err
    client, experiment = runs.connect("tickets")
    (run,) = [run for run in client.search_runs([experiment]) if "test.accuracy" in run.data.metrics]
    logged = {file.path for file in client.list_artifacts(run.info.run_id)}
    assert logged == {"confusion.png", "learning_curves.png", "model_card.md", "reliability.png", "report.html"}


def test_test_rows_in_batches_have_the_same_figures_and_the_report_says_what_is_of_a_sample(
    tested, monkeypatch, capsys
) -> None:
    params, paths = tested
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")  # none is needed
    monkeypatch.setattr("pipeline.model_report.slices.FEWEST", 2)
    evaluate.run(params, paths)
    figures, said = paths.metrics.read_text(), "On a sample of 12 of 30 test rows."
    assert "Where the model is worst" in paths.report.read_text()
    assert said not in paths.report.read_text() + paths.model_card.read_text()
    monkeypatch.setattr("pipeline.data.splits.BATCH_ROWS", 7)
    monkeypatch.setattr("pipeline.stages.evaluate.SAMPLE_ROWS", 12)
    evaluate.run(params, paths)
    assert paths.metrics.read_text() == figures
    assert said in paths.report.read_text()
    assert said in paths.model_card.read_text()
    assert "the slices of the report" not in capsys.readouterr().err


def test_a_full_disk_is_no_warning() -> None:
    with pytest.raises(OSError, match="No space left"), optional("a picture"):
        raise OSError(errno.ENOSPC, "No space left on device")
