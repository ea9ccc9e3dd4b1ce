"""`params.yaml`, `spaces.yaml` and `catalog/` as typed, frozen settings.

All mistakes of the files that a command needs are found before any work starts, and listed in one message.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from contracts.errors import Problem, UserError, nearest, show
from contracts.settings.merging import merged, where
from contracts.settings.reading import Content, SettingsFiles, read_files
from contracts.settings.sections import (
    METRICS,
    Evaluate,
    Fetch,
    FineTune,
    Package,
    Params,
    Preprocess,
    Search,
    Select,
    Settings,
    Train,
)
from contracts.settings.source import Image, Source, Task
from contracts.settings.space import Choices, FloatRange, IntRange, SearchSpace
from contracts.settings.space_problems import problems_of_space
from contracts.settings.validation import Mistake, unknown_key, validate
from contracts.spec import BINNED, hyperparameters

__all__ = [
    "Choices", "Evaluate", "Fetch", "FineTune", "FloatRange", "Image", "IntRange", "Package", "Params", "Preprocess",
    "Search", "SearchSpace", "Select", "Source", "Task", "Train", "load_datasets", "load_params",
]  # fmt: skip

OVERRIDABLE = ("preprocess", "train", "search", "select")


def load_datasets(path: Path, only: Collection[str] | None = None) -> list[str]:
    """The names under `datasets`, after a check of all files, or `only` those of some; raises like `load_params`."""
    return _load(path, only)[0]


def load_params(path: Path, dataset: str) -> Params:
    """The settings of one dataset, after a check of its files.

    Args:
        path: `params.yaml`; `spaces.yaml` and `catalog/` lie beside it.

    Raises:
        UserError: with every problem of these files, each as `file: section.key: expected …, received …`.
    """
    return _load(path, [dataset])[1][dataset]


def _load(path: Path, only: Collection[str] | None) -> tuple[list[str], dict[str, Params]]:
    files = read_files(path, only)
    problems = [*files.problems, *_problems_of_keys(files)]
    loaded: dict[str, Params] = {}
    if files.params is not None:
        loaded, found = _validate(files.params, files.catalog, files.spaces or {})
        named = {problem.where for problem in problems}
        problems += [problem for problem in found if problem.where not in named]
    if files.params is None or problems:
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        raise UserError("\n  ".join([f"the settings have {count}, nothing was run:", *map(str, problems)]))
    for name in only or ():
        if name not in files.catalog:
            names = ", ".join(files.catalog)
            raise UserError(
                f"expected a dataset of catalog/ ({names}), received {show(name)}{nearest(name, files.catalog)}"
            )
    return files.params["datasets"], loaded


def _problems_of_keys(files: SettingsFiles) -> Iterator[Problem]:
    """Keys that no model checks: the files' own, the names of datasets and of hyperparameters."""
    spaces = files.spaces or {}
    for name, space in spaces.items():
        yield from _problems_of_names("spaces.yaml", name, space, ())
    for name, entry in files.catalog.items():
        file = f"catalog/{name}.yaml"
        yield from _unknown(file, "", entry or {}, ("data", *OVERRIDABLE))
        for section in OVERRIDABLE:
            change = (entry or {}).get(section) or {}  # None if each of its keys is commented out
            if not isinstance(change, Mapping):
                yield Problem(f"{file}: {section}", "a mapping", show(change))
            elif section == "search" and "space" in change:
                yield from _problems_of_names(file, "search.space", change["space"], spaces)
    if files.params is not None:
        yield from _unknown("params.yaml", "", files.params, ("datasets", *Settings.model_fields))
        yield from _problems_of_datasets(files.params.get("datasets"), files.catalog)
        search = files.params.get("search")
        if isinstance(search, Mapping) and "space" in search:
            yield from _problems_of_names("params.yaml", "search.space", search["space"], spaces)


def _problems_of_datasets(datasets: Any, catalog: Iterable[str]) -> Iterator[Problem]:
    place = "params.yaml: datasets"
    if not isinstance(datasets, list) or not datasets or not all(isinstance(name, str) for name in datasets):
        yield Problem(place, "a list of names of files in catalog/", show(datasets))
        return
    for name in dict.fromkeys(datasets):
        if name not in catalog:
            yield Problem(place, f"a file catalog/{name}.yaml", f"none{nearest(name, catalog)}")
        if datasets.count(name) > 1:
            yield Problem(place, "each name once", f"{name!r} {datasets.count(name)} times")


def _problems_of_names(file: str, key: str, space: Any, spaces: Iterable[str]) -> Iterator[Problem]:
    """Problems of a search space that has not been validated: with the names of its hyperparameters only."""
    if isinstance(space, Mapping):
        yield from _unknown(file, f"{key}.", space, hyperparameters())
    elif space not in list(spaces):
        named = f", or a name in spaces.yaml ({', '.join(spaces)})" if spaces else ""
        yield Problem(f"{file}: {key}", f"hyperparameters{named}", show(space) + nearest(space, spaces))


def _unknown(file: str, prefix: str, content: Mapping[Any, Any], known: Iterable[str]) -> Iterator[Problem]:
    for key in content:
        if key not in known:
            yield Problem(f"{file}: {prefix}{key}", *unknown_key(key, known))


def _validate(
    params: Content, catalog: Mapping[str, Content | None], spaces: Content
) -> tuple[dict[str, Params], list[Problem]]:
    """The settings of each dataset, and every wrong value, each listed once with its file."""
    base = validate(Settings, merged(params, {}, spaces))
    shared = base if isinstance(base, list) else []
    problems = [mistake.at(where(mistake.place, {"params.yaml": params})) for mistake in shared]
    loaded = {}
    for name, entry in catalog.items():
        if entry is None:
            continue
        found = validate(Params, {"dataset": name, **merged(params, entry, spaces)})
        if isinstance(found, Params):
            loaded[name], found = found, _misfits(found)
        files = {f"catalog/{name}.yaml": entry, "params.yaml": params}
        problems += [mistake.at(where(mistake.place, files)) for mistake in found if mistake not in shared]
    return loaded, list(dict.fromkeys(problems))


def _misfits(params: Params) -> list[Mistake]:
    """Sections that do not fit each other, and reasons why a network of the search space cannot be built."""
    mistakes = []
    numeric = params.search.space.get("numeric", "standardise")
    used = BINNED & set(numeric.choices if isinstance(numeric, Choices) else [numeric])
    if used and not params.preprocess.bins:
        expected = f"preprocess.bins above 0 for {' or '.join(sorted(used))}"
        mistakes.append(Mistake(("search", "space", "numeric"), expected, "preprocess.bins: 0"))
    if params.source.task is not None:
        return mistakes + task_misfits(params, params.source.task)
    of_tasks = [task_misfits(params, task) for task in METRICS]  # the data decides on the task
    return mistakes + [mistake for mistake in of_tasks[0] if all(mistake in of_task for of_task in of_tasks)]


def task_misfits(params: Params, task: Task) -> list[Mistake]:
    """Reasons why the metric, the threshold or a network of the search space does not fit a task."""
    mistakes = []
    fitting = METRICS[task]
    metric, threshold = params.metric_for(task), params.select.threshold
    if metric not in fitting:
        expected = f"one of {', '.join(fitting)} for {task}"
        mistakes.append(Mistake(("search", "metric"), expected, show(metric) + nearest(metric, fitting)))
    if task != "binary" and threshold != 0.5:
        mistakes.append(
            Mistake(("select", "threshold"), f"0.5 for {task}, which has no second of two classes", show(threshold))
        )
    mistakes += _quantile_misfits(params, metric)
    for problem in problems_of_space(params.search.space, task):
        name, _, words = problem.partition(": expected ")
        mistakes.append(Mistake(("search", "space", *name.split(".")), words))
    return mistakes


def _quantile_misfits(params: Params, metric: str) -> list[Mistake]:
    """Settings that do not fit `data.quantiles`, or that need it."""
    if not params.source.quantiles:
        missing = metric == "quantile_loss"
        return [Mistake(("search", "metric"), "data.quantiles for quantile_loss", "none")] if missing else []
    mistakes, loss = [], params.search.space.get("loss", "auto")
    if set(getattr(loss, "choices", (loss,))) != {"auto"}:
        mistakes.append(Mistake(("search", "space", "loss"), "auto for data.quantiles", show(loss)))
    if metric == "quantile_loss" and params.select.gates.references:
        what = "false for quantile_loss, because reference models predict no quantiles"
        mistakes.append(Mistake(("select", "gates", "references"), what, "true"))
    return mistakes
