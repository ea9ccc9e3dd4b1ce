"""A stage started by hand: without what it reads, or with a damaged bundle. One message, and exit code 2."""

import gc
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

from contracts.bundle import MANIFEST, check_bundle, seal
from pipeline.paths import Paths
from pipeline.stages import __main__ as stages
from pipeline.stages import package, select
from pipeline.tables import TARGET, write_rows
from pipeline.tracking import registry, runs
from tests.serving.bundles import TICKETS, make_bundle


@pytest.fixture
def run(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Run a stage on `iris` as from the command line: its exit code, what it prints, and what it complains about."""

    def run(stage: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["stages", stage, "--dataset", "iris"])
        code = stages.main()
        assert gc.isenabled(), "it is off while a stage is imported"
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


@pytest.fixture
def selected(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Paths:
    """A dataset up to its selection, with two candidates; no store is asked."""
    assert "serving/predict_sample.py" in package.CODE  # found from the project's folder, when it was imported
    for name in ("contracts", "serving"):
        (folder / name).symlink_to(Path(__file__).parents[2] / name)
    paths = Paths("iris")
    rows = pd.DataFrame([TICKETS.sample] * 30).assign(**{TARGET: list(TICKETS.classes) * 10})
    paths.prepared.mkdir(parents=True)
    for part in ("train", "validation", "test"):
        write_rows(paths.prepared / f"{part}.parquet", pa.Table.from_pandas(rows, preserve_index=False))
    TICKETS.save(paths.prepared / "schema.json")
    for bundle in (paths.candidates / "1", paths.candidates / "2", paths.bundle):
        make_bundle(TICKETS, bundle)
    (paths.candidates / "trials.csv").write_text("number,state\n0,COMPLETE\n")
    paths.selection.write_text(json.dumps({"version": "1", "champion_before": None}))
    monkeypatch.setattr(runs, "connect", lambda dataset: (None, "0"))
    monkeypatch.setattr(runs, "run_exists", lambda client, run: False)
    monkeypatch.setattr(registry, "champion", lambda client, dataset: None)
    monkeypatch.setattr("pipeline.tracking.approval.count_test_read", lambda *_: 1)
    return paths


def reseal(bundle: Path, name: str, content: bytes) -> None:
    """Damage a file whose hash is then right."""
    manifest = check_bundle(bundle)
    (bundle / name).write_bytes(content)
    seal(bundle, manifest)


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "changed": (lambda bundle: (bundle / "schema.json").write_text("{}"), "schema.json was changed: expected sha256 "),
    "cut off": (lambda bundle: (bundle / MANIFEST).write_text('{"dataset": '), "manifest.json cannot be read: "),
    "gone": (lambda bundle: (bundle / "model.onnx").unlink(), "model.onnx is missing, or manifest.json does not"),
    "no model": (lambda bundle: reseal(bundle, "model.onnx", b"x"), "model.onnx is not a model that ONNX Runtime"),
}


@pytest.mark.parametrize("stage", stages.NEEDED)
def test_a_stage_without_what_an_earlier_one_writes_says_what_to_run(run, folder: Path, stage: str) -> None:
    path = stages.NEEDED[stage].format("iris")
    expected = f"expected {path}, which an earlier stage writes, received none: make repro DATASETS=iris"
    assert run(stage) == (2, "", f"{stage} iris: {expected}\n")
    assert not (folder / "artifacts").exists()


@pytest.mark.parametrize(("damage", "message"), DAMAGES.values(), ids=DAMAGES.keys())
@pytest.mark.parametrize("stage", ["select", "evaluate", "package"])
def test_a_damaged_bundle_ends_a_stage_in_one_message(run, selected: Paths, stage: str, damage, message: str) -> None:
    bundle = selected.candidates / "2" if stage == "select" else selected.bundle
    damage(bundle)
    before = selected.selection.read_bytes()
    code, shown, complaint = run(stage)
    assert (code, shown) == (2, "")
    assert complaint.startswith(f"{stage} iris: ")
    assert f"{bundle.name}/{message}" in complaint
    assert complaint.count("\n") == 1
    assert (selected.selection.read_bytes(), selected.bento.exists()) == (before, False)


@pytest.mark.parametrize(("damage", "message"), DAMAGES.values(), ids=DAMAGES.keys())
def test_a_damaged_champion_is_replaced_and_the_reason_says_why(
    run, selected: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage, message: str
) -> None:
    champion = Path(shutil.copytree(selected.bundle, tmp_path / "champion"))
    damage(champion)
    shutil.rmtree(selected.bundle)
    monkeypatch.setattr(registry, "champion", lambda client, dataset: "1")
    monkeypatch.setattr(registry, "download_bundle", lambda *_: champion)
    monkeypatch.setattr(select, "_registered", lambda *_: ("2", None))
    code, shown, complaint = run("select")
    assert (code, complaint) == (0, "")
    assert "served as version 2" in shown
    assert message in selected.selection.read_text()
    assert check_bundle(selected.bundle).dataset == "tickets"
