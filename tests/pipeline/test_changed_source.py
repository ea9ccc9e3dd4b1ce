"""A person's file that changes: the new rows are fetched, and a file that is refused leaves the earlier data."""

import json
from pathlib import Path

import pytest

from contracts.settings.load import load_params
from pipeline.paths import Paths
from pipeline.stages import fetch, preprocess
from tests.projects import COMMANDS, Project


def test_a_source_that_is_refused_leaves_the_earlier_data(prepared: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVC_ROOT", str(prepared.folder))
    monkeypatch.chdir(prepared.folder)
    rows = prepared.folder / "mine.csv"
    rows.write_text("size,y\n" + "".join(f"{i % 17},{i % 2}\n" for i in range(100)))
    (prepared.folder / "catalog/mine.yaml").write_text("data: {source: mine.csv, target: y}\n")
    try:
        for stage in (fetch, preprocess):
            stage.run(load_params(Path("params.yaml"), "mine"), Paths("mine"))
        folders = [prepared.folder / "data" / part / "mine" for part in ("raw", "prepared")]
        before = {path: path.read_bytes() for folder in folders for path in folder.iterdir()}
        assert len(before) == 7
        assert json.loads((folders[0] / "source.json").read_text())["source"] == "mine.csv"
        rows.write_text("size,y\n1,0\n2\n")
        refused = prepared.run(*COMMANDS, "repro", "mine", check=False)
        assert refused.returncode
        assert "mine: its source has changed since it was fetched." in refused.stdout
        assert "fetch mine: mine.csv: expected 2 fields in every line as in the header, received:" in refused.stderr
        assert "Traceback" not in refused.stderr
        assert {path: path.read_bytes() for folder in folders for path in folder.iterdir()} == before
    finally:
        (prepared.folder / "catalog/mine.yaml").unlink()
