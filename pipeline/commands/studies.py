"""The studies of the storage: what they are of, how far they are, and where their runs are."""

import argparse
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from contracts.errors import UserError
from contracts.settings.load import load_datasets, load_params
from pipeline.paths import Paths

STATES = ("complete", "pruned", "fail", "running")


def arguments(parser: argparse.ArgumentParser) -> None:
    """None: it lists all."""


def run(chosen: argparse.Namespace) -> None:
    from pipeline.search import studies

    storage = studies.open_storage()
    names = studies.optuna.get_all_study_names(storage)
    if not names:
        raise UserError("there are no studies yet: run `make repro` first")
    listed = [studies.load(storage, name) for name in names]
    now = _current()
    shown = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for column in ("study", "dataset"):
        shown.add_column(column, no_wrap=True)
    for column in ("complete", "pruned", "failed", "running", "best"):
        shown.add_column(column, justify="right", no_wrap=True)
    for column in ("last change", "MLflow run"):
        shown.add_column(column, no_wrap=True)
    for study in sorted(listed, key=lambda study: str(studies.changed(study) or ""), reverse=True):
        counts, changed = studies.states(study), studies.changed(study)
        shown.add_row(
            f"{study.study_name} *" if study.study_name in now else study.study_name,
            studies.dataset_of(study),
            *(str(counts[state]) for state in STATES),
            ", ".join(f"{value:.4g}" for value in studies.best_values(study)) or "none yet",
            changed.strftime("%Y-%m-%d %H:%M") if changed else "never",
            study.user_attrs.get("mlflow_run_id", "none"),
        )
    console = Console(highlight=False, soft_wrap=True)
    if not console.is_terminal:
        console.width = 170  # a log has no width that could be too small
    console.print(shown)
    if now & set(names):
        console.print("* what params.yaml and the prepared data ask for now; the next search continues it")


def _current() -> set[str]:
    """The studies that a search would continue now, of the datasets that are prepared."""
    from pipeline.search.plan import make_plan

    datasets = [name for name in load_datasets(Path("params.yaml")) if _is_prepared(Paths(name))]
    return {make_plan(load_params(Path("params.yaml"), name), Paths(name)).study for name in datasets}


def _is_prepared(paths: Paths) -> bool:
    return all((paths.prepared / f"{part}.parquet").exists() for part in ("train", "validation"))
