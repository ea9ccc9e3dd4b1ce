"""studies and study-export: show the studies in the storage."""

from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from contracts.errors import UserError
from contracts.settings.load import load_params
from pipeline.paths import Paths

PARAMS = Path("params.yaml")
STATES = ("complete", "pruned", "fail", "running")
app = typer.Typer()


@app.command("studies")
def list_studies() -> None:
    """List the studies: trials by state, best value, last change, MLflow run."""
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
        console.width = 170  # a log has no width of its own
    console.print(shown)
    if now & set(names):
        console.print("* belongs to the present settings and prepared data; the next search continues it")


def _current() -> set[str]:
    """The studies that a search would continue now, of the datasets that are prepared."""
    from pipeline.search.plan import present_study

    datasets = [path.stem for path in Path("catalog").glob("*.yaml") if _is_prepared(Paths(path.stem))]
    return {present_study(load_params(PARAMS, name), Paths(name)) for name in datasets}


def _is_prepared(paths: Paths) -> bool:
    return (paths.prepared / "schema.json").exists()


@app.command()
def study_export(
    dataset: str,
    out: Annotated[str | None, typer.Option(help="a file that ends in .csv or .parquet")] = None,
    study: Annotated[
        str | None, typer.Option(help="name of the study; by default that of the present settings and data")
    ] = None,
) -> None:
    """Write the trials of a study as a table, for a spreadsheet or a notebook."""
    params, paths = load_params(PARAMS, dataset), Paths(dataset)
    example = f"make study-export DATASET={dataset} OUT=trials.csv"
    if out is None or Path(out).suffix not in (".csv", ".parquet"):
        raise UserError(
            f"OUT: expected a file that ends in .csv or .parquet, received {repr(out) if out else 'none'}: {example}"
        )
    file = Path(out)
    if not file.parent.is_dir() or file.is_dir():
        raise UserError(f"OUT: expected a file in a folder that exists, received {out!r}")
    if study is None and not (paths.prepared / "train.parquet").exists():
        raise UserError(f"{paths.prepared} is missing: name a study (`make studies` lists them): {example} STUDY=…")
    from pipeline.search import studies
    from pipeline.search.plan import present_study

    storage = studies.open_storage()
    name = study or present_study(params, paths)
    if study is None and name not in studies.optuna.get_all_study_names(storage):
        raise UserError(
            f"{dataset} has not been searched with these settings and data (study {name}): run `make tune "
            f"DATASET={dataset} TRIALS=10`, or name another study, which `make studies` lists: {example} STUDY=…"
        )
    frame = studies.table(studies.load(storage, name))
    try:
        frame.to_csv(file, index=False) if file.suffix == ".csv" else frame.to_parquet(file, index=False)
    except OSError as error:
        raise UserError(f"OUT: expected a file that can be written, received {out!r}: {error.strerror}") from None
    print(f"{file}: {len(frame)} trials of {name}")
