"""The table at the end of a run: what was reached, against what, in which time; and what to try next."""

import argparse
import csv
import json
from datetime import datetime
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from contracts.settings.load import load_datasets
from pipeline.paths import Paths


def arguments(parser: argparse.ArgumentParser) -> None:
    """None: it shows the datasets that params.yaml names."""


def run(chosen: argparse.Namespace) -> None:
    datasets = load_datasets(Path("params.yaml"))
    table = Table(title="Champions, on the test rows", title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for column in ("dataset", "metric"):
        table.add_column(column, no_wrap=True)
    for column in ("baseline", "champion", "interval", "version", "trials", "time"):
        table.add_column(column, justify="right", no_wrap=True)
    for dataset in datasets:
        table.add_row(dataset, *_row(Paths(dataset)))
    console = Console(highlight=False, soft_wrap=True)
    if not console.is_terminal:
        console.width = 100  # a log has no width that could be too small
    console.print(table)
    first = datasets[0]
    console.print(f"Next: [bold]make serve DATASET={first}[/], and in another terminal [bold]make predict[/].")
    console.print("      [bold]make ui[/] compares the trials in MLflow.")


def _row(paths: Paths) -> list[str]:
    if not paths.metrics.exists() or not paths.selection.exists():
        return ["not run yet"]
    metrics = json.loads(paths.metrics.read_text())
    name = next(iter(metrics["test"]))
    return [
        name,
        f"{metrics['baseline'][name]:.4g}",
        f"{metrics['test'][name]:.4g}",
        f"{metrics['low'][name]:.4g}–{metrics['high'][name]:.4g}",
        str(json.loads(paths.selection.read_text())["version"]),
        *_search(paths.candidates / "trials.csv"),
    ]


def _search(path: Path) -> list[str]:
    """How many trials there were, and the time that all of them took together."""
    with path.open(newline="", encoding="utf-8") as file:
        trials = [trial for trial in csv.DictReader(file) if trial["datetime_complete"]]
    ends = [[datetime.fromisoformat(t[f"datetime_{end}"]) for end in ("start", "complete")] for t in trials]
    seconds = sum((end - start).total_seconds() for start, end in ends)
    return [str(len(trials)), f"{seconds:.0f} s"]
