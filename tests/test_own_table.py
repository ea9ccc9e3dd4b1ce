"""Titanic as a file and a few lines: from the file to an answer over HTTP, with every real part."""

import csv
import json

import pandas as pd
import pytest
import requests

from contracts.bundle import open_bundle
from contracts.files import md5
from tests.projects import COMMANDS


def test_a_file_and_a_few_lines_are_enough(project, titanic) -> None:
    added, ran = titanic.added, titanic.ran.stdout
    assert "warning: without" not in titanic.ran.stderr
    assert titanic.entry.splitlines()[1:] == [
        "data:", "  source: ../titanic.csv", "  target: Survived",
        "search:", "  space: auto", "  n_trials: 8", "  folds: 5",
    ]  # fmt: skip
    assert "titanic: binary of Survived, 300 rows" in added
    assert "make repro DATASETS=titanic" in added
    for name in ("PassengerId", "Name", "Ticket", "Cabin"):
        assert f"{name} is left out" in ran
    assert "make predict DATASET=titanic" in ran
    manifest, schema = open_bundle(project.folder / "artifacts/titanic/bundle")
    assert (manifest.task, schema.labels, schema.sample.keys()) == (
        "binary", (0, 1), {"Pclass", "Sex", "Age", "SibSp", "Parch", "Fare", "Embarked"}
    )  # fmt: skip
    assert (manifest.metric, manifest.threshold is not None) == ("roc_auc", True)
    metrics = json.loads((project.folder / "metrics/titanic.json").read_text())
    prepared = project.folder / "data/prepared/titanic"
    rows = {
        f"{part}_rows": len(pd.read_parquet(prepared / f"{part}.parquet")) for part in ("train", "validation", "test")
    }
    assert metrics["split"] == {"by": "hash", "seed": 42, **rows, "test_md5": md5(prepared / "test.parquet")}
    assert sum(rows.values()) == 300
    figures = metrics["test"]
    assert {"accuracy", "roc_auc", "pr_auc", "brier", "f1", "balanced_accuracy"} <= figures.keys()


def test_its_rows_get_the_same_answer_over_http_and_from_the_file(project, titanic) -> None:
    path = titanic.path
    out = project.folder / "titanic-predictions.csv"
    project.run(COMMANDS[0], "-m", "serving.batch", "artifacts/titanic/bundle", str(path), str(out))
    expected = pd.read_csv(out)
    out.unlink()
    manifest, _ = open_bundle(project.folder / "artifacts/titanic/bundle")
    assert expected["label"].tolist() == (expected["P(1)"] >= manifest.threshold).astype(int).tolist()
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        for name in ("PassengerId", "Survived", "Pclass", "Age", "SibSp", "Parch", "Fare"):
            row[name] = float(row[name]) if row[name] else None
        row.update({name: row[name] or None for name in ("Cabin", "Embarked")})
    with project.serve("titanic") as address:
        answer = requests.post(f"{address}/predict", json={"instances": rows[::-1]}, timeout=30).json()
    received = answer["predictions"][::-1]
    assert [prediction["label"] for prediction in received] == expected["label"].tolist()
    assert [prediction["probabilities"]["1"] for prediction in received] == pytest.approx(expected["P(1)"], abs=1e-5)
