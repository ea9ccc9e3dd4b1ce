"""The report of a model and its model card, from what a search, the registry and the test rows have left."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from markdown_it import MarkdownIt
from ruamel.yaml import YAML

from contracts.bundle import check_bundle, seal
from contracts.encoding import encode_target
from contracts.metrics import BY_NAME, task_metrics
from contracts.schema import Schema
from pipeline.data_report.columns import read_columns
from pipeline.model_report.card import card_mark
from pipeline.model_report.importance import permutation_importance
from pipeline.model_report.report import Known, Measured, write_report
from pipeline.model_report.slices import groups_of, worst
from pipeline.paths import Paths
from serving.predictor import Predictor
from tests.serving.bundles import PRICES, TICKETS, TILES, make_bundle

SIZE = 240
HISTORY = "epoch,loss,val_loss,log_loss,val_log_loss,rmse,val_rmse\n1,2,3,2,3,2,3\n2,1,2,1,2,1,2\n"
NOTHING = Known()
HOSTILE = "<script>alert(1)</script>"


def table_of(schema: Schema) -> pa.Table:
    """Random rows, as each part of a dataset holds them."""
    random = np.random.default_rng(0)
    target = random.choice(schema.classes, SIZE).tolist() if schema.classes else random.normal(20, 5, SIZE).tolist()
    columns = {}
    for feature in () if schema.image is not None else schema.features:
        if feature.kind == "categorical":
            columns[feature.name] = random.choice(feature.categories, SIZE).tolist()
        else:
            columns[feature.name] = random.normal(5, 3, SIZE).tolist()
    if schema.image is not None:
        columns["image"] = pa.array(
            random.integers(0, 17, (SIZE, 64)).astype(np.uint8).tolist(), pa.list_(pa.uint8(), 64)
        )
    return pa.table({**columns, "__target__": target})


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., tuple[str, str]]:
    """Write the report of a schema, and return page and card."""

    def written(schema: Schema, known: Known = NOTHING, card: str = "", **selected) -> tuple[str, str]:
        paths = Paths(schema.dataset, tmp_path)
        if not paths.bundle.exists():
            make_bundle(schema, paths.bundle)
            manifest = check_bundle(paths.bundle)
            (paths.bundle / "history.csv").write_text(HISTORY)
            seal(paths.bundle, manifest)
        for folder in (paths.prepared, paths.candidates, paths.card.parent):
            folder.mkdir(parents=True, exist_ok=True)
        table = table_of(schema)
        for part in ("train", "validation"):
            pq.write_table(table, paths.prepared / f"{part}.parquet")
        warning = {"kind": "leakage", "seen": [[HOSTILE, "explains 99 %"], ["b", "too"]], "advice": "look"}
        (paths.prepared / "warnings.json").write_text(json.dumps([warning]))
        (paths.candidates / "trials.csv").write_text(
            "number,datetime_start,datetime_complete,state\n0,2026-01-01 00:00:00,2026-01-01 00:00:07,COMPLETE\n"
            "1,2026-01-01 00:00:00,2026-01-01 00:00:05,PRUNED\n"
        )
        candidate = {"name": "candidate 1", "value": 0.5, "n_parameters": 9, "trial": 3, "excluded": None}
        selection = {
            "metric": "log_loss", "baseline": 1.0, "winner": "candidate 1", "candidates": [candidate], "version": "4",
            "champion_before": None, "comparison": None, "reason": f"better than {HOSTILE}", "challenger": None,
        }  # fmt: skip
        paths.selection.write_text(json.dumps(selection | selected))
        if card:
            paths.card.write_text(card)
        y = encode_target(schema, table["__target__"].to_pylist())
        predictions = 0.7 * np.eye(len(schema.classes))[y] + 0.03 if schema.classes else y + np.arange(SIZE) / 100
        values = {metric.name: metric.compute(y, predictions) for metric in task_metrics(schema.task)}
        figures = {**dict.fromkeys(("test", "low", "high", "baseline"), values), "conformal": {"coverage_90": 0.8765}}
        predictor = Predictor(paths.bundle)
        manifest = predictor.manifest.model_copy(update={"metric": "log_loss" if schema.classes else "rmse"})
        measured = Measured(predictor.predict, table, y, predictions.astype(np.float32), figures, 0.95, 3)
        write_report(paths, manifest, schema, measured, known, 0)
        assert card_mark(paths) in paths.report.read_text()
        return paths.report.read_text(), paths.model_card.read_text()

    return written


def headings(page: str) -> list[str]:
    return re.findall(r"<h2>(.*?)</h2>", page)


def test_the_page_has_every_part_and_the_card_the_same(write) -> None:
    known = Known({"run": "abc", "approved": "Ada: fine"}, {"accuracy": 0.4321}, {"boosting": 0.1234})
    page, card = write(TICKETS, known, "# Purpose\n\nFor *clerks*.")
    parts = [
        "Intended use and limits",
        "Figures",
        "Choice",
        "Learning curves",
        "Errors",
        "Calibration",
        "Data",
        "Lineage",
    ]
    assert [part for part in headings(page) if part in parts] == parts
    for text in ("version 4", "2 trials in 12 seconds", "1 ended early", "leakage", "read 3 times", "0.4321", "0.1234"):
        assert text in page, text
    assert "<em>clerks</em>" in page
    assert "For *clerks*." in card
    for text in (
        "version 4",
        "leakage",
        "read 3 times",
        "0.1234",
        "Ada: fine",
        "| coverage at 90 % | 0.8765 |",
        ": explains 99 %; b: too\n",
    ):
        assert text in card, text


def test_the_page_stands_alone_and_shows_hostile_text_as_text(write) -> None:
    page, _ = write(TICKETS, Known({"run": HOSTILE}), f"Text {HOSTILE} <img src=x onerror=alert(1)>")
    assert "<script" not in page
    assert "<img" not in page
    assert "&lt;script&gt;" in page
    assert re.findall(r'(?:src|href)="(.*?)"', page) == ["data:,"]


def test_the_card_shows_hostile_text_as_text(write) -> None:
    hostile = f"{HOSTILE} | [x](javascript:alert(1))\n---\n# Approved `by all`"
    _, card = write(TICKETS, Known({"run": hostile}), "For *clerks* | <b>all</b>.")
    rendered = MarkdownIt("commonmark").enable("table").render(card)
    assert "<script" not in rendered
    assert "<a " not in rendered
    assert "Approved" not in "".join(line for line in card.splitlines() if line.startswith("#"))
    assert "&lt;script&gt;alert(1)&lt;/script&gt; | [x](javascript:alert(1)) --- # Approved `by all`" in rendered
    assert "For *clerks* | <b>all</b>." in card  # the team's own text


def test_without_a_text_the_page_says_where_to_write_it(write) -> None:
    page, card = write(TICKETS)
    assert "catalog/cards/tickets.md" in page
    assert "catalog/cards/tickets.md" in card


def test_the_card_has_the_front_matter_of_model_hubs(write) -> None:
    for schema, task in (
        (TICKETS, "tabular-classification"),
        (PRICES, "tabular-regression"),
        (TILES, "image-classification"),
    ):
        _, card = write(schema)
        front = YAML(typ="safe").load(card.split("---\n")[1])
        assert front["pipeline_tag"] == task
        (result,) = front["model-index"][0]["results"]
        assert {metric["type"] for metric in result["metrics"]} == {m.name for m in task_metrics(schema.task)}


def test_gates_and_a_version_that_waits_are_shown_where_there_are_any(write) -> None:
    page, card = write(TICKETS)
    assert "Gates" not in headings(page)
    gate = {"gate": "latency", "passed": False, "figure": "3 ms, expected 1 ms"}
    candidate = {"name": "candidate 1", "value": 0.5, "n_parameters": 9, "trial": 3, "excluded": None, "gates": [gate]}
    page, card = write(TICKETS, candidates=[candidate], challenger="5")
    assert "Gates" in headings(page)
    for text in (page, card):
        assert "3 ms, expected 1 ms" in text
    assert "Version 5 waits for approval" in page


def test_a_part_that_fails_is_left_out_with_a_warning(write, tmp_path, monkeypatch, capsys) -> None:
    def broken(*_: object) -> None:
        raise ValueError("no pixels")

    monkeypatch.setattr("pipeline.model_report.pictures.confusion", broken)
    page, _ = write(TICKETS)
    assert "Errors" not in headings(page)
    assert "Figures" in headings(page)
    assert "warning: without the errors of the report: ValueError: no pixels" in capsys.readouterr().err


def masks_and_rows(noise: float) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """Groups of rows of which those with port Cherbourg have larger errors by `noise`."""
    table = table_of(TICKETS)
    masks = groups_of(read_columns(TICKETS, {"measured": table}), {})
    random = np.random.default_rng(3)
    y = random.normal(size=SIZE)
    spread = 1 + noise * (np.array(table["port"].to_pylist()) == "Cherbourg")
    return masks, y, y + spread * random.normal(size=SIZE)


def test_a_group_that_is_worse_comes_first_and_is_marked(write) -> None:
    masks, y, predictions = masks_and_rows(2.0)
    found = worst(BY_NAME["rmse"], y, predictions, masks)
    assert (found[0].name, found[0].is_worse) == ("port: Cherbourg", True)
    assert found[0].low < found[0].value < found[0].high
    assert [group.name for group in found[1:] if group.is_worse] == []


def test_chance_marks_no_group(write) -> None:
    masks, y, predictions = masks_and_rows(0.0)
    found = worst(BY_NAME["rmse"], y, predictions, masks)
    assert found
    assert not any(group.is_worse for group in found)


def test_the_tiles_that_a_model_looks_at_stand_out_in_the_picture(write) -> None:
    """The brightness of the pixels above on the left decides: only their tile has importance."""
    pixels = np.random.default_rng(0).uniform(0, 255, (300, 64)).astype(np.float32)
    looked_at = pixels.reshape(-1, 8, 8)[:, :2, :2].mean(axis=(1, 2))
    y = (looked_at > np.median(looked_at)).astype(int)

    def predict(rows: np.ndarray) -> np.ndarray:
        sure = 1 / (1 + np.exp((np.median(looked_at) - rows.reshape(-1, 8, 8)[:, :2, :2].mean(axis=(1, 2))) / 10))
        return np.stack([1 - sure, sure, np.zeros(len(rows))], axis=1)

    found = permutation_importance(TILES, predict, BY_NAME["accuracy"], pixels, y, 0)
    assert len(found) == 16
    assert found[0].name == "tile 1 from the left, 1 from the top"
    assert found[0].low > 0.1
    assert {entry.value for entry in found[1:]} == {0}
    page, card = write(TILES)
    assert re.search("tile [1-4] from the left, [1-4] from the top by ", page)
    assert "| tile | " in card
