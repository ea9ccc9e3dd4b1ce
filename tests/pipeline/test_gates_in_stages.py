"""What gates do in `select`, and the answer of the packaged service in `package`."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from contracts.bundle import check_bundle, seal
from contracts.errors import UserError
from contracts.settings.gates import Gates
from contracts.settings.load import load_params
from contracts.settings.sections import Select
from pipeline.commands import repro
from pipeline.environment import prepare_environment
from pipeline.paths import Paths
from pipeline.stages import select
from pipeline.tables import TARGET, write_rows
from pipeline.tracking import runs
from tests.pipeline.judged import Judged
from tests.serving.bundles import TICKETS, make_bundle
from tests.settings_files import ROOT, copy_settings

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
    assert "gates.bytes" in client.get_run(check_bundle(paths.candidates / "1").mlflow_run_id).data.tags
    assert run_select(seconds_per_row=10)["held_back"] == []
    tags = client.get_run(check_bundle(paths.candidates / "1").mlflow_run_id).data.tags
    assert {name for name in tags if name.startswith("gates")} == {"gates", "gates.seconds_per_row"}
    assert run_select()["held_back"] == []
    tags = client.get_run(check_bundle(paths.candidates / "1").mlflow_run_id).data.tags
    assert not [name for name in tags if name.startswith("gates")]


def test_a_service_that_answers_otherwise_than_its_bundle_is_not_packaged(tmp_path: Path) -> None:
    paths = Paths("tickets", tmp_path)
    make_bundle(TICKETS, paths.bundle)
    environment = {**os.environ, "BENTOML_HOME": str(tmp_path / "bentoml"), "BENTOML_DO_NOT_TRACK": "true"}
    command = [sys.executable, "-c", PACKAGE_A_WRONG_SERVICE, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.startswith("the packaged service's answer to the schema's sample: expected [0.")
    assert not paths.bento.exists()
    assert not list((tmp_path / "bentoml/bentos").glob("tickets/*/src"))
