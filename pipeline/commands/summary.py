"""The table at the end of a run: what was reached, against what, in which time; and what to try next."""

import argparse
import json
from pathlib import Path

from rich.console import Console
from rich.table import Table

from pipeline.params import load_datasets
from pipeline.paths import Paths


def arguments(parser: argparse.ArgumentParser) -> None:
    """None: it shows the datasets that params.yaml names."""


def run(chosen: argparse.Namespace) -> None:
    table = Table(title="Champions on the test rows")
    for column in ("dataset", "metric", "baseline", "champion", "95% interval", "version", "trials", "search time"):
        table.add_column(column, justify="left" if column in {"dataset", "metric"} else "right")
    datasets = load_datasets(Path("params.yaml"))
    for dataset in datasets:
        table.add_row(dataset, *_row(Paths(dataset)))
    console = Console(highlight=False)
    console.print(table)
    first = datasets[0]
    console.print(
        f"Next: [bold]make serve DATASET={first}[/bold], then [bold]make predict DATASET={first}[/bold]; ", end=""
    )
    console.print("[bold]make ui[/bold] compares the trials.")


def _row(paths: Paths) -> list[str]:
    if not paths.metrics.exists() or not paths.selection.exists():
        return ["not run yet"]
    metrics = json.loads(paths.metrics.read_text())
    selection = json.loads(paths.selection.read_text())
    name = next(iter(metrics["test"]))
    return [
        name,
        f"{metrics['baseline'][name]:.4g}",
        f"{metrics['test'][name]:.4g}",
        f"{metrics['low'][name]:.4g} to {metrics['high'][name]:.4g}",
        str(selection["version"]),
        *_search(paths.candidates / "trials.csv"),
    ]


def _search(trials: Path) -> list[str]:
    """How many trials there were, and their time in all, each counted for itself."""
    import pandas as pd

    frame = pd.read_csv(trials)
    seconds = pd.to_timedelta(frame["duration"]).dt.total_seconds().sum()
    return [str(len(frame)), f"{seconds:.0f} s"]
