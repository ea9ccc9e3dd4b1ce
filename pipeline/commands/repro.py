"""repro, tune and summary: run the stages of one, some or all datasets, and show the results."""

import csv
import json
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from contracts.errors import UserError, printable
from contracts.files import md5
from contracts.records import read_object
from contracts.settings.editing import Scalar, set_keys
from contracts.settings.load import Search, load_datasets, load_params
from contracts.settings.sections import MOST_COUNT, MOST_SECONDS
from pipeline.dvc_cli import INTERRUPTED, run_dvc, working_copy
from pipeline.model_report.card import card_mark
from pipeline.paths import Paths

PARAMS = Path("params.yaml")
app = typer.Typer()


@app.command()
def repro(
    datasets: Annotated[
        list[str] | None, typer.Argument(help="names from catalog/; by default the list in params.yaml")
    ] = None,
    fetch_again: Annotated[bool, typer.Option(help="also where no change of the source is seen")] = False,
) -> None:
    """Run the stages that are out of date: fetch, preprocess, train, select, evaluate, package."""
    names = list(dict.fromkeys(datasets or []))
    listed = load_datasets(PARAMS, names or None)
    names = names or listed
    with working_copy():
        code = _run(names, fetch_again)
    _end(names, code)


@app.command()
def tune(
    dataset: str,
    trials: Annotated[str | None, typer.Option(help="trials of the study in all")] = None,
    timeout: Annotated[str | None, typer.Option(help="seconds of search in all")] = None,
) -> None:
    """Raise the budget of a study in catalog/<dataset>.yaml, then run that dataset's stages."""
    budget(dataset, trials, timeout, load_params(PARAMS, dataset).search)  # a mistake is reported before the wait
    with working_copy():
        changes = budget(dataset, trials, timeout, load_params(PARAMS, dataset).search)
        path = Path(f"catalog/{dataset}.yaml")
        target = f"preprocess@{dataset}"
        is_prepared = run_dvc([dataset], "status", "--quiet", target) == 0
        set_keys(path, "search", changes)
        if is_prepared:  # the budget changes no data, but the stage depends on the whole file
            run_dvc([dataset], "commit", "--quiet", "--force", target)
        now = " and ".join(f"search.{name} is {'null' if value is None else value}" for name, value in changes.items())
        print(f"In {path}, {now} from now on.", flush=True)
        code = _run([dataset])
    _end([dataset], code)


@app.command()
def summary() -> None:
    """Show the champions of the listed datasets, as at the end of a run."""
    _show(load_datasets(PARAMS))


def _run(datasets: list[str], fetch_again: bool = False) -> int:
    """Run what is out of date, also after a stage of another dataset has failed; 0, or the exit code of a failure."""
    targets, codes = [], []
    for dataset in datasets:
        code = 0
        changed = _what_changed(dataset)
        if changed:
            print(f"{dataset}: its {changed} has changed since it was fetched.", flush=True)
        if changed or fetch_again:
            code = _dvc([dataset], "--single-item", "--force", f"fetch@{dataset}")
        codes.append(code)
        targets += [f"{stage}@{dataset}" for stage in ("evaluate", "package") if not code]
    if targets:
        codes.append(_dvc(datasets, "--keep-going", *targets))
    for dataset in datasets if not any(codes) else ():
        paths = Paths(dataset)
        if card_mark(paths) not in paths.report.read_text(encoding="utf-8"):
            print(f"{dataset}: {paths.card} has changed since the report was written.", flush=True)
            code = _dvc([dataset], "--single-item", "--force", f"evaluate@{dataset}")
            codes.append(code or _dvc([dataset], "--single-item", f"package@{dataset}"))
    return max(codes)


def _dvc(datasets: list[str], *arguments: str) -> int:
    """0, or 1 if a stage failed; ends this command if a signal has ended one."""
    code = run_dvc(datasets, "repro", *arguments)
    if code == INTERRUPTED:
        raise typer.Exit(code)
    return code


def _end(datasets: list[str], code: int) -> None:
    """Show the results, and end with the code of a failure. After one, others may have results."""
    if code:
        datasets = [dataset for dataset in datasets if len(datasets) > 1 and Paths(dataset).metrics.exists()]
    if datasets:
        _show(datasets)
    if code:
        print("A stage has failed: its message is above. The same command goes on with what is not done.", flush=True)
        raise typer.Exit(code)


def _what_changed(dataset: str) -> str | None:
    """Which input of `fetch` has changed since, the user's file or the contract. DVC tracks the settings alone."""
    source, paths = load_params(PARAMS, dataset).source, Paths(dataset)
    origin = paths.raw / "source.json"
    fetched = json.loads(origin.read_text()) if origin.exists() else {}
    if paths.raw.exists() and fetched.get("contract") != (md5(paths.contract) if paths.contract.exists() else None):
        return "contract"
    if not source.is_file or not fetched:
        return None
    from pipeline.sources.own_table import local_md5

    present = local_md5(source)
    return "source" if present is not None and fetched["md5"] != present else None


def budget(dataset: str, trials: str | None, timeout: str | None, search: Search) -> dict[str, Scalar]:
    """The changed keys of `search`: a limit that is not given is removed.

    Raises:
        UserError: with every value that is not a budget.
    """
    example = f"make tune DATASET={dataset}"
    problems = []
    if trials is None and timeout is None:
        problems.append(
            f"TRIALS or TIMEOUT: expected how many trials or seconds the study of {dataset} is to have in all "
            f"(now {search.n_trials or 'any number of'} trials, {search.timeout or 'any number of'} s), received "
            f"neither: {example} TRIALS=50 or {example} TIMEOUT=600"
        )
    n_trials, seconds = _number(int, trials, MOST_COUNT), _number(float, timeout, MOST_SECONDS)
    if trials is not None and n_trials is None:
        problems.append(
            f"TRIALS: expected how many trials the study of {dataset} is to have in all, from 1 to "
            f"{MOST_COUNT:,} (now {search.n_trials or 'any number'}), received {trials!r}: {example} TRIALS=50"
        )
    if timeout is not None and seconds is None:
        problems.append(
            f"TIMEOUT: expected how many seconds the study of {dataset} is to be searched in all, above 0 and "
            f"at most {MOST_SECONDS:,} (now {search.timeout or 'any number'}), received {timeout!r}: "
            f"{example} TIMEOUT=600"
        )
    if problems:
        raise UserError("\n  ".join(problems))
    changes: dict[str, Scalar] = {"n_trials": n_trials, "timeout": seconds}
    return {name: value for name, value in changes.items() if value is not None or getattr(search, name) is not None}


def _number(kind: type[int] | type[float], text: str | None, most: int) -> Scalar:
    """A number above 0 up to `most`, or None."""
    try:
        number = kind(text or "")
    except ValueError:
        return None
    if not 0 < number <= most:
        return None
    return int(number) if number == int(number) else number


def _show(datasets: list[str]) -> None:
    """Print the table at the end of a run, with baseline, champion and time of each dataset, and what to try next."""
    table = Table(title="Champions, on the test rows", title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for column in ("dataset", "metric"):
        table.add_column(column, no_wrap=True)
    for column in ("baseline", "champion", "interval", "version", "trials", "time"):
        table.add_column(column, justify="right", no_wrap=True)
    for dataset in datasets:
        table.add_row(dataset, *_row(Paths(dataset)))
    console = Console(highlight=False, soft_wrap=True)
    if not console.is_terminal:
        console.width = 100  # a log has no width of its own
    console.print(table)
    for dataset in datasets:
        if (selection := Paths(dataset).selection).exists():
            found = read_object(selection)
            for line in (*found.get("held_back", ()), *filter(None, [found.get("trees")])):
                console.print(printable(f"{dataset}: {line}"), markup=False)
    first = datasets[0]
    console.print(
        f"Next: [bold]make serve DATASET={first}[/], and in another terminal [bold]make predict DATASET={first}[/]."
    )
    console.print("      [bold]make ui[/] compares the trials in MLflow.")
    models = [str(Paths(dataset).report) for dataset in datasets if Paths(dataset).report.exists()]
    if models:
        console.print(f"      The models, for whoever reviews them: {', '.join(models)}")
    for dataset in datasets:
        if challenger := _selection(Paths(dataset)).get("challenger"):
            command = f'make approve DATASET={dataset} VERSION={challenger} NOTE="…"'
            console.print(f"      Version {challenger} of {dataset} waits for approval: [bold]{command}[/]")
    reports = [str(Paths(dataset).data_report) for dataset in datasets if Paths(dataset).data_report.exists()]
    if reports:
        console.print(f"      The data, and what to look at in it: {', '.join(reports)}")


def _row(paths: Paths) -> list[str]:
    trials = paths.candidates / "trials.csv"
    if not all(map(Path.exists, (paths.metrics, paths.selection, trials))):
        return ["not run yet"]
    metrics = json.loads(paths.metrics.read_text())
    name = next(iter(metrics["test"]))
    return [
        name,
        f"{metrics['baseline'][name]:.4g}",
        f"{metrics['test'][name]:.4g}",
        f"{metrics['low'][name]:.4g}–{metrics['high'][name]:.4g}",
        str(_selection(paths)["version"]),
        *_search(trials),
    ]


def _selection(paths: Paths) -> dict[str, Any]:
    return read_object(paths.selection) if paths.selection.exists() else {}


def _search(path: Path) -> list[str]:
    """How many trials there were, and the time that all of them took together."""
    with path.open(newline="", encoding="utf-8") as file:
        trials = [trial for trial in csv.DictReader(file) if trial["datetime_complete"]]
    ends = [[datetime.fromisoformat(t[f"datetime_{end}"]) for end in ("start", "complete")] for t in trials]
    seconds = sum((end - start).total_seconds() for start, end in ends)
    return [str(len(trials)), f"{seconds:.0f} s"]
