"""The gates of a team: what they find, what they refuse, and who becomes the champion then."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from contracts.bundle import check_bundle, seal
from contracts.encoding import encode
from contracts.errors import UserError
from contracts.metrics import BY_NAME
from contracts.schema import DroppedColumn, Schema
from contracts.settings.gates import Gates
from contracts.settings.load import load_params
from contracts.settings.sections import Select
from pipeline.commands import repro
from pipeline.environment import prepare_environment
from pipeline.evaluation.gates.judge import Validation, Verdict, judge
from pipeline.evaluation.gates.problems import gate_problems
from pipeline.paths import Paths
from pipeline.search.plan import make_plan
from pipeline.stages import select
from pipeline.tables import TARGET, write_rows
from pipeline.tracking import runs
from serving.predictor import Predictor
from tests.serving.bundles import PRICES, TICKETS, make_bundle
from tests.settings_files import ROOT, copy_settings, override

N = 200
PACKAGE_A_WRONG_SERVICE = """
import json, sys
from pathlib import Path
from types import SimpleNamespace
from contracts.errors import UserError
from contracts.files import copy_modules
from pipeline.paths import Paths
from pipeline.stages import package

def copy_wrong(code, folder):
    copy_modules(code, folder)
    file = folder / "serving/model.py"
    file.write_text(file.read_text().replace("        return predictions\\n", "        return predictions + 1\\n"))

package.copy_modules = copy_wrong
paths = Paths("tickets", Path(sys.argv[1]))
paths.selection.write_text(json.dumps({"version": "7"}))
try:
    package.run(SimpleNamespace(dataset="tickets", package=SimpleNamespace(workers=1)), paths)
except UserError as error:
    print(error)
"""


def frame_of(schema: Schema) -> pd.DataFrame:
    random = np.random.default_rng(1)
    if schema is PRICES:
        return pd.DataFrame(random.uniform(0, 10, (N, 3)), columns=list("abc"))
    return pd.DataFrame({
        "age": random.uniform(0, 80, N), "fare paid": random.uniform(0, 500, N),
        "port": random.choice(["Cherbourg", "Queenstown", "Southampton"], N),
        "deck": random.choice(["A", "B", None], N),
    })  # fmt: skip


class Judged:
    """A small bundle, and rows that it predicts without error but for those of `wrong`."""

    def __init__(self, schema: Schema, folder: Path) -> None:
        self.bundle, self.schema = folder / schema.dataset, schema
        if not self.bundle.exists():
            make_bundle(schema, self.bundle)
        self.predictor, self.frame = Predictor(self.bundle), frame_of(schema)
        self.rows = encode(schema, {name: self.frame[name] for name in self.frame})
        self.predictions = self.predictor.predict(self.rows)
        self.right = self.predictions.argmax(axis=1) if schema.classes else self.predictions

    def __call__(self, wrong: np.ndarray | None = None, references: dict | None = None, **gates) -> dict[str, Verdict]:
        y = self.right.copy()
        if wrong is not None:
            y[wrong] = (y[wrong] + 1) % 3 if self.schema.classes else y[wrong] + 1
        metric = BY_NAME["accuracy" if self.schema.classes else "rmse"]
        validation = Validation(self.frame, self.rows, y)
        verdicts = judge(
            Gates(**gates), self.bundle, self.predictor, self.predictions, validation, metric, references or {}, 0.9, 1
        )
        return {verdict.gate: verdict for verdict in verdicts}


@pytest.fixture(scope="module")
def tickets(tmp_path_factory) -> Judged:
    return Judged(TICKETS, tmp_path_factory.mktemp("gates"))


@pytest.fixture(scope="module")
def prices(tmp_path_factory) -> Judged:
    return Judged(PRICES, tmp_path_factory.mktemp("gates"))


def test_a_limit_is_reached_in_the_direction_of_its_metric(tickets, prices) -> None:
    some = np.arange(N) < 20
    found = tickets(some, values={"accuracy": 0.9, "log_loss": 0.1})
    assert (found["values.accuracy"].passed, found["values.log_loss"].passed) == (True, False)
    assert str(tickets(some, values={"accuracy": 0.91})["values.accuracy"]) == (
        "values.accuracy: accuracy 0.9, expected at least 0.91"
    )
    assert prices(some, values={"rmse": 0.4})["values.rmse"].passed
    assert not prices(some, values={"rmse": 0.3})["values.rmse"].passed


def test_the_worse_end_of_an_interval_is_below_the_figure_itself(tickets) -> None:
    some = np.arange(N) < 20
    assert not tickets(some, bounds={"accuracy": 0.9})["bounds.accuracy"].passed
    assert tickets(some, bounds={"accuracy": 0.85})["bounds.accuracy"].passed


def test_a_candidate_must_be_better_than_each_reference_where_asked(tickets) -> None:
    found = tickets(np.arange(N) < 20, references={"linear": 0.95, "boosting": 0.8})
    assert {gate: verdict.passed for gate, verdict in found.items()} == {
        "references.linear": False, "references.boosting": True
    }  # fmt: skip


def test_a_slice_by_value_or_by_range_has_a_limit_of_its_own(tickets) -> None:
    wrong = ((tickets.frame["deck"] == "A") & (tickets.frame["age"] < 40)).to_numpy()
    rules = [
        {"column": "deck", "value": "A"}, {"column": "deck", "value": "B"}, {"column": "deck", "value": None},
        {"column": "age", "high": 40}, {"column": "age", "low": 40},
    ]  # fmt: skip
    found = tickets(wrong, slices=[{**rule, "metric": "accuracy", "limit": 0.9} for rule in rules])
    assert {gate.removeprefix("slices."): verdict.passed for gate, verdict in found.items()} == {
        "deck = A": False, "deck = B": True, "deck = None": True, "age < 40": False, "40 ≤ age": True
    }  # fmt: skip


def test_the_worst_slices_are_found_and_chance_is_not_taken_for_one(tickets) -> None:
    rule = {"metric": "accuracy", "limit": 0.8, "rows": 20}
    bad = (tickets.frame["port"] == "Cherbourg").to_numpy()
    verdict = tickets(bad, worst_slices=rule)["worst_slices"]
    assert not verdict.passed
    assert "port = Cherbourg: accuracy 0 on" in verdict.figure
    random = np.random.default_rng(0)
    failed = [not tickets(random.random(N) < 0.2, worst_slices=rule)["worst_slices"].passed for _ in range(40)]
    assert sum(failed) <= 8, "at most a tenth by chance"


def test_behaviour_is_looked_at_over_the_range_of_a_column(prices, tickets) -> None:
    weights = np.random.default_rng(7).normal(size=(3, 1)).astype(np.float32)[:, 0] / 50  # those of the bundle
    rising, falling = (["abc"[i] for i in np.flatnonzero(sign * weights > 0)] for sign in (1, -1))
    assert rising
    assert falling
    rules = [{"column": rising[0], "direction": "rising"}, {"column": falling[0], "direction": "falling"}]
    assert all(verdict.passed for verdict in prices(monotonic=rules).values())
    rules = [{"column": rising[0], "direction": "falling"}, {"column": falling[0], "direction": "rising"}]
    assert not any(verdict.passed for verdict in prices(monotonic=rules).values())
    assert prices(monotonic=[{**rules[0], "most": 10.0}])["monotonic." + rising[0]].passed
    change = float(tickets(invariant=[{"column": "port", "most": 0}])["invariant.port"].figure.split()[7].rstrip(","))
    assert 0 < change < 0.2
    assert tickets(invariant=[{"column": "port", "most": change * 1.01}])["invariant.port"].passed


def test_known_rows_must_get_their_answers(tickets, prices) -> None:
    answer = TICKETS.classes[
        int(tickets.predictor.predict(encode(TICKETS, {k: [v] for k, v in TICKETS.sample.items()})).argmax())
    ]
    other = next(name for name in TICKETS.classes if name != answer)
    assert tickets(cases=[{"row": TICKETS.sample, "answer": answer}])["cases"].passed
    wrong = tickets(cases=[{"row": TICKETS.sample, "answer": other}])["cases"]
    assert wrong.figure == f"case 0: answered {answer!r}, expected {other!r}"
    assert prices(cases=[{"row": PRICES.sample, "low": -1, "high": 1}])["cases"].passed
    assert not prices(cases=[{"row": PRICES.sample, "low": 5}])["cases"].passed


def test_size_speed_and_calibration_have_limits(tickets) -> None:
    sure = tickets(bytes=10**6, seconds_per_row=10.0, calibration_error=1.0)
    assert all(verdict.passed for verdict in sure.values())
    strict = tickets(bytes=100, seconds_per_row=1e-9, calibration_error=0.01)
    assert not any(verdict.passed for verdict in strict.values())


def test_everything_that_cannot_be_right_is_told_at_once(tmp_path: Path) -> None:
    schema = TICKETS.model_copy(update={"dropped": (DroppedColumn(name="id", role="identifier", reason="one a row"),)})
    frame = frame_of(TICKETS).assign(**{TARGET: "first"})
    frame.loc[0, "deck"] = "C"
    write_rows(tmp_path / "validation.parquet", pa.Table.from_pandas(frame, preserve_index=False))
    gates = Gates.model_validate({
        "values": {"rmse": 1.0}, "bounds": {"acuracy": 0.5},
        "slices": [
            {"column": "prot", "value": "Cherbourg", "metric": "accuracy", "limit": 0.5},
            {"column": "deck", "value": "C", "metric": "accuracy", "limit": 0.5},
            {"column": "age", "low": 200, "metric": "accuracy", "limit": 0.5},
        ],
        "worst_slices": {"metric": "roc_auc", "limit": 0.5},
        "invariant": [{"column": "id", "most": 0}],
        "monotonic": [
            {"column": "port", "direction": "rising", "output": "first"}, {"column": "age", "direction": "rising"}
        ],
        "cases": [{"row": {"age": "old", "fare paid": 3, "port": "Cherbourg"}, "answer": "fourth"}],
    })  # fmt: skip
    told = [str(problem) for problem in gate_problems(gates, schema, tmp_path / "validation.parquet")]
    assert [line.partition(": expected")[0].removeprefix("select.gates.") for line in told] == [
        "values.rmse", "bounds.acuracy", "worst_slices.metric", "slices.0.column", "slices.1", "slices.2",
        "invariant.0.column", "monotonic.0.column", "monotonic.1.output", "cases.0.row.age", "cases.0.answer",
    ]  # fmt: skip
    assert "did you mean 'accuracy'?" in told[1]
    assert told[4] == "select.gates.slices.1: expected at least 2 validation rows with deck = C, received 1 row"
    assert "received 'id', which no network learns from: one a row" in told[6]
    assert gate_problems(Gates(), schema, tmp_path / "validation.parquet") == []


def test_a_catalog_file_sets_gates_for_one_dataset_and_a_mistake_names_the_file(tmp_path: Path) -> None:
    params = copy_settings(tmp_path)
    override(params, "iris", select={"gates": {"values": {"accuracy": 0.9}}})
    assert load_params(params, "iris").select.gates == Gates(values={"accuracy": 0.9})
    assert load_params(params, "wine").select.gates == Gates()
    override(
        params, "iris", select={"gates": {"slices": [{"column": "a", "metric": "accuracy", "limit": 1}], "size": 3}}
    )
    with pytest.raises(UserError) as told:
        load_params(params, "iris")
    assert "catalog/iris.yaml: select.gates.size: expected a known key, received 'size'" in str(told.value)
    assert "catalog/iris.yaml: select.gates.slices.0: expected a value, or a low or a high" in str(told.value)


def test_a_gate_that_cannot_be_right_is_refused_before_training(tmp_path: Path) -> None:
    paths = Paths("tickets", tmp_path)
    paths.prepared.mkdir(parents=True)
    TICKETS.save(paths.prepared / "schema.json")
    rows = pa.Table.from_pandas(frame_of(TICKETS).assign(**{TARGET: "first"}), preserve_index=False)
    for part in ("train", "validation"):
        write_rows(paths.prepared / f"{part}.parquet", rows)
    params = load_params(copy_settings(tmp_path), "iris").model_copy(update={"dataset": "tickets"})
    make_plan(params, paths)
    gates = Gates(values={"rmse": 1.0}, slices=[{"column": "x", "value": 1, "metric": "accuracy", "limit": 0.5}])
    refused = params.model_copy(update={"select": params.select.model_copy(update={"gates": gates})})
    with pytest.raises(UserError) as told:
        make_plan(refused, paths)
    assert len(str(told.value).splitlines()) == 3


@pytest.fixture
def searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Runs `select` with gates on two candidates, of which the first has 100 kB more; and the paths."""
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    prepare_environment()
    paths = Paths("tickets", tmp_path)
    paths.prepared.mkdir(parents=True)
    TICKETS.save(paths.prepared / "schema.json")
    client, experiment = runs.connect("tickets")
    parent = runs.study_run(client, experiment, "tickets-1", None)
    for number in (1, 2):
        bundle = paths.candidates / str(number)
        make_bundle(TICKETS, bundle)
        if number == 1:
            (bundle / "history.csv").write_bytes(bytes(100_000))
        run = runs.log_trial(client, experiment, parent, f"trial {number}", "complete", 1000, {}, {}, {}, {})
        seal(bundle, check_bundle_unlisted(bundle).model_copy(update={"mlflow_run_id": run}))
    judged = Judged(TICKETS, tmp_path / "again")
    target = np.array(TICKETS.classes)[judged.right]
    rows = pa.Table.from_pandas(judged.frame.assign(**{TARGET: target}), preserve_index=False)
    for part in ("train", "validation"):
        write_rows(paths.prepared / f"{part}.parquet", rows)
    (paths.candidates / "trials.csv").write_text("number\n0\n1\n")
    params = load_params(copy_settings(tmp_path), "iris")

    def run_select(**gates) -> dict:
        rule: Select = params.select.model_copy(update={"gates": Gates(**gates)})
        search = params.search.model_copy(update={"metric": "accuracy"})
        select.run(params.model_copy(update={"dataset": "tickets", "select": rule, "search": search}), paths)
        return json.loads(paths.selection.read_text())

    return run_select, paths, client


def check_bundle_unlisted(bundle: Path):
    """The manifest of a bundle that has one file more."""
    extra = bundle / "history.csv"
    content = extra.read_bytes() if extra.exists() else None
    extra.unlink(missing_ok=True)
    manifest = check_bundle(bundle)
    if content is not None:
        extra.write_bytes(content)
    return manifest


def test_a_candidate_that_fails_a_gate_is_passed_over_and_the_champion_stays_where_all_fail(
    searched, capsys, monkeypatch
) -> None:
    run_select, paths, client = searched
    with pytest.raises(UserError) as told:
        run_select(bytes=1000, calibration_error=0.001)
    assert "no candidate passes the gates of select.gates, and there is no champion" in str(told.value)
    assert len(str(told.value).splitlines()) == 1 + 2 * 2, "both gates of both candidates"
    assert not paths.selection.exists()

    deck = {"column": "deck", "value": "A", "metric": "accuracy", "limit": 0.9}
    selection = run_select(bytes=50_000, slices=[deck])
    assert (selection["winner"], selection["version"]) == ("candidate 2", "1")
    (line,) = selection["held_back"]
    assert line.startswith("candidate 1 fails bytes: 1")
    assert f"tickets: {line}" in capsys.readouterr().out
    tags = [client.get_run(check_bundle(paths.candidates / str(n)).mlflow_run_id).data.tags for n in (1, 2)]
    assert [tag["gates"] for tag in tags] == ["failed", "passed"]
    assert tags[0]["gates.bytes"].endswith("expected at most 50,000")
    assert tags[1]["gates.slices.deck _ A"].startswith("accuracy 1 on ")

    selection = run_select(bytes=1000)
    assert (selection["winner"], selection["version"]) == ("version 1", "1")
    assert selection["reason"] == "the champion stays: no candidate passes its gates"
    monkeypatch.chdir(paths.root)
    (paths.root / "params.yaml").write_text(
        (paths.root / "params.yaml").read_text().replace("- iris\n- digits\n- diabetes", "- tickets")
    )
    (paths.root / "catalog/tickets.yaml").write_text(
        "data: {source: csv, task: multiclass, target: class, addresses: ['http://x/{file}'], files: {a.csv: "
        + "a" * 64
        + "}}\n"
    )
    capsys.readouterr()
    repro.summary()
    said = capsys.readouterr().out
    assert all(f"tickets: {line}" in said for line in selection["held_back"])
    assert len(selection["held_back"]) == 2

    with pytest.raises(UserError, match=r"invalid settings for tickets:\s+select.gates.values.rmse: expected a metric"):
        run_select(values={"rmse": 3.0})
    assert run_select()["held_back"] == []


def test_a_service_that_answers_otherwise_than_its_bundle_is_not_packaged(tmp_path: Path) -> None:
    paths = Paths("tickets", tmp_path)
    make_bundle(TICKETS, paths.bundle)
    environment = {**os.environ, "BENTOML_HOME": str(tmp_path / "bentoml"), "BENTOML_DO_NOT_TRACK": "true"}
    command = [sys.executable, "-c", PACKAGE_A_WRONG_SERVICE, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.startswith("the packaged service's answer to the schema's sample: expected [0.")
    assert not paths.bento.exists()
    assert not list((tmp_path / "bentoml/bentos").glob("tickets/*/src"))
