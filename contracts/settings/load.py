"""A typed, frozen view of `params.yaml`.

Everything that can be wrong is found before any work starts and told in one message.
"""

import difflib
import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from contracts.errors import UserError
from contracts.settings.pruners import KINDS, PRUNERS
from contracts.settings.sections import (
    Evaluate,
    Fetch,
    FineTune,
    Image,
    Package,
    Params,
    Preprocess,
    Search,
    Select,
    Source,
    Task,
    Train,
)
from contracts.settings.space import Choices, FloatRange, IntRange, SearchSpace
from contracts.settings.space_problems import problems_of_space
from contracts.spec import hyperparameters

__all__ = [
    "Choices", "Evaluate", "Fetch", "FineTune", "FloatRange", "Image", "IntRange", "Package", "Params", "Preprocess",
    "Search", "SearchSpace", "Select", "Source", "Task", "Train", "load_params",
]  # fmt: skip

SECTIONS = ("fetch", "preprocess", "train", "search", "select", "evaluate", "package")
OVERRIDABLE = ("preprocess", "train", "search")
TOP_LEVEL = ("datasets", *SECTIONS, "spaces", "overrides", "catalog")


def load_datasets(path: Path) -> list[str]:
    """The names under `datasets`, after checking the file whole; raises like `load_params`."""
    datasets = _read(path).get("datasets")
    first = datasets[0] if isinstance(datasets, list) and datasets else ""
    load_params(path, str(first))
    return list(datasets or [])


def load_params(path: Path, dataset: str) -> Params:
    """Read `path` whole, check every dataset in it, and return what `dataset` is told.

    Raises:
        UserError: with every problem of the file, each as `section.key: expected …, received …`.
    """
    document = _read(path)
    problems = list(_unknown(document, TOP_LEVEL, "")) + [
        f"{name}: expected, but missing" for name in TOP_LEVEL if name not in document
    ]
    if problems:
        raise _refusal(path, problems)
    problems += _dataset_problems(document)
    catalog = document["catalog"]
    merged = {}
    for name in catalog if isinstance(catalog, Mapping) else ():
        merged[name], found = _merge(document, name)
        problems += [problem for problem in found if problem not in problems]
    if problems:
        raise _refusal(path, problems)
    params = merged.get(dataset)
    if params is None:
        raise UserError(_no_such_dataset(dataset, merged))
    return params


def _read(path: Path) -> dict[str, Any]:
    text = path.read_text(encoding="utf-8")
    try:
        # Safe and pure: no tags, duplicate keys refused, YAML 1.2 numbers as DVC reads them.
        document = YAML(typ="safe", pure=True).load(text)
    except YAMLError as error:
        raise UserError(f"{path.name} is not valid YAML: {error}") from None
    if not isinstance(document, dict):
        raise UserError(f"{path.name}: expected a mapping of sections, received {_show(document)}")
    return document


def _dataset_problems(document: dict[str, Any]) -> Iterable[str]:
    datasets, catalog, overrides = document["datasets"], document["catalog"], document["overrides"]
    for key, value in (("catalog", catalog), ("overrides", overrides)):
        if not isinstance(value, Mapping):
            yield f"{key}: expected one entry per dataset, received {_show(value)}"
            return
    if not isinstance(datasets, list) or not datasets or not all(isinstance(name, str) for name in datasets):
        yield f"datasets: expected a list of names from the catalog, received {_show(datasets)}"
    else:
        for name in dict.fromkeys(datasets):
            if name not in catalog:
                yield f"datasets: {_no_such_dataset(name, catalog)}"
            if datasets.count(name) > 1:
                yield f"datasets: expected each name once, received {name!r} {datasets.count(name)} times"
    if not isinstance(document["spaces"], Mapping):
        yield f"spaces: expected search spaces by name, received {_show(document['spaces'])}"
        return
    for name, space in document["spaces"].items():
        yield from _unknown(space if isinstance(space, Mapping) else {}, hyperparameters(), f"spaces.{name}.")
    for name in catalog:
        if name not in overrides:
            yield f"overrides.{name}: expected, but missing"
    yield from _unknown(overrides, tuple(catalog), "overrides.")


def _merge(document: dict[str, Any], name: str) -> tuple[Params | None, list[str]]:
    """One dataset's sections with its overrides laid over them, or the problems in the way."""
    overrides = document["overrides"].get(name) or {}
    if not isinstance(overrides, Mapping):
        return None, [f"overrides.{name}: expected a mapping of sections, received {_show(overrides)}"]
    problems = list(_unknown(overrides, OVERRIDABLE, f"overrides.{name}.")) + [
        f"overrides.{name}.{section}: expected, but missing (write {{}} where nothing differs)"
        for section in OVERRIDABLE
        if section not in overrides
    ]
    merged: dict[str, Any] = {"dataset": name, "source": document["catalog"][name]}
    for section in SECTIONS:
        base, change = document[section], overrides.get(section) or {}
        if not isinstance(base, Mapping) or not isinstance(change, Mapping):
            where, value = (section, base) if not isinstance(base, Mapping) else (f"overrides.{name}.{section}", change)
            problems.append(f"{where}: expected a mapping, received {_show(value)}")
            continue
        merged[section] = {**base, **change}
    space: dict[str, Any] = {}
    for prefix, search in (("", document["search"]), (f"overrides.{name}.", overrides.get("search"))):
        change = search.get("space", {}) if isinstance(search, Mapping) else {}
        if isinstance(change, Mapping):
            problems += _unknown(change, hyperparameters(), f"{prefix}search.space.")
            space = {**space, **change}
        elif isinstance(change, str) and isinstance(document["spaces"].get(change), Mapping):
            space = dict(document["spaces"][change])  # in the place of the other, not laid over it
        else:
            problems.append(f"{prefix}search.space: {_no_such_space(change, document['spaces'])}")
    if "search" in merged and "space" in merged["search"]:
        merged["search"]["space"] = space
    if problems:
        return None, problems
    try:
        params = Params.model_validate(merged)
    except ValidationError as error:
        return None, [_problem(item, name, overrides) for item in error.errors()]
    return params, [_space_problem(problem, name, overrides) for problem in _unbuildable(params)]


def _unbuildable(params: Params) -> list[str]:
    """What no network could be built from, each as `name: expected …, received …`."""
    space = params.search.space
    problems = problems_of_space(space, params.source.task)
    numeric = space.get("numeric", "standardise")
    used = {"quantile", "piecewise"} & set(numeric.choices if isinstance(numeric, Choices) else [numeric])
    if used and not params.preprocess.bins:
        which = " or ".join(sorted(used))
        problems.append(f"numeric: expected preprocess.bins above 0 for {which}, received preprocess.bins: 0")
    return problems


def _space_problem(problem: str, dataset: str, overrides: Mapping[str, Any]) -> str:
    name, space = problem.split(":")[0].split(".")[0], (overrides.get("search") or {}).get("space") or {}
    if isinstance(space, str):
        return f"overrides.{dataset}.search.space: {space}: {problem}"
    return f"overrides.{dataset}.search.space.{problem}" if name in space else f"search.space.{problem}"


def _problem(item: Any, dataset: str, overrides: Mapping[str, Any]) -> str:
    """One pydantic error as `where.it.is: expected …, received …`."""
    tags = {"int", "float", "categorical", "distribution", "value", "[key]"}  # pydantic's, not the file's
    location = [part for part in item["loc"] if part not in tags]
    location = [part for part in location if not str(part).startswith(("literal[", "constrained-", "function-"))]
    if "pruner" in location:
        location = [part for part in location if part not in PRUNERS]
    node: Any = overrides
    for part in location:
        node = node.get(part) if isinstance(node, Mapping) else None
    prefix = [f"catalog.{dataset}"] if location[:1] == ["source"] else []
    if prefix:
        location = location[1:]
    elif node is not None:
        prefix = [f"overrides.{dataset}"]
    where = ".".join(str(part) for part in [*prefix, *location])
    kind, context = item["type"], item.get("ctx", {})
    if kind == "extra_forbidden" or item["loc"][-1:] == ("[key]",):
        return f"{where}: {_unknown_key(str(location[-1]), _names_beside(location))}"
    if kind == "missing":
        return f"{where}: expected, but missing"
    if kind == "value_error":
        message = str(context["error"])
        return message if message.startswith("search.metric") else f"{where}: expected {message}"
    if kind in ("literal_error", "union_tag_invalid"):
        names = re.findall(r"'([^']*)'", str(context.get("expected", context.get("expected_tags"))))
        received = context.get("tag", item["input"])
        near = difflib.get_close_matches(str(received), names, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        return f"{where}: expected one of {', '.join(names)}, received {_show(received)}{hint}"
    return f"{where}: expected {_expectation(item['msg'])}, received {_show(item['input'])}"


def _expectation(message: str) -> str:
    for opening in ("Input should be ", "Value error, "):
        message = message.removeprefix(opening)
    return message


def _names_beside(location: list[Any]) -> tuple[str, ...]:
    """The names allowed where the last part of `location` stands."""
    if len(location) > 1 and location[-2] == "space":
        return hyperparameters()
    if len(location) > 1 and location[-2] == "pruner":
        return tuple({name for kind in KINDS for name in kind.model_fields})
    model: type[BaseModel] = Params
    for part in location[:-1]:
        kind = model.model_fields[part].annotation if part in model.model_fields else None
        if not (isinstance(kind, type) and issubclass(kind, BaseModel)):
            return tuple({*IntRange.model_fields, *FloatRange.model_fields, *Choices.model_fields})
        model = kind
    return tuple(model.model_fields if len(location) > 1 else Source.model_fields)


def _unknown(mapping: Mapping[str, Any], known: tuple[str, ...], prefix: str) -> Iterable[str]:
    for key in mapping:
        if key not in known:
            yield f"{prefix}{key}: {_unknown_key(str(key), known)}"


def _unknown_key(key: str, known: Iterable[str]) -> str:
    known = sorted(known)
    near = difflib.get_close_matches(key, known, n=1)
    return f"unknown key; did you mean {near[0]!r}?" if near else f"unknown key; expected one of {', '.join(known)}"


def _no_such_dataset(name: str, catalog: Iterable[str]) -> str:
    names = list(catalog)
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return f"expected a dataset of the catalog ({', '.join(names)}), received {name!r}{hint}"


def _no_such_space(value: Any, spaces: Mapping[str, Any]) -> str:
    near = difflib.get_close_matches(str(value), list(spaces), n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return (
        f"expected distributions and values, or a name of spaces ({', '.join(spaces)}), received {_show(value)}{hint}"
    )


def _refusal(path: Path, problems: list[str]) -> UserError:
    count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    return UserError("\n  ".join([f"{path.name} has {count}, nothing was run:", *problems]))


def _show(value: Any) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
