"""A typed, frozen view of `params.yaml`.

Everything that can be wrong is found before any work starts and told in one message.
"""

import difflib
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pipeline.errors import UserError

Task = Literal["multiclass", "binary", "regression"]
MetricName = Literal["log_loss", "accuracy", "rmse", "mae"]

Fraction = Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)]
PositiveInt = Annotated[int, Field(ge=1)]


class Section(BaseModel):
    """Strict and frozen: an unknown key or a value of another type is an error."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")


class Fetch(Section):
    timeout: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    attempts: PositiveInt


class Preprocess(Section):
    test_fraction: Fraction
    validation_fraction: Fraction
    seed: Annotated[int, Field(ge=0, lt=2**32)]

    @model_validator(mode="after")
    def leaves_rows_to_train_on(self) -> "Preprocess":
        if self.test_fraction + self.validation_fraction >= 1:
            raise ValueError("test_fraction + validation_fraction below 1, so that rows are left to train on")
        return self


class Train(Section):
    epochs: PositiveInt
    patience: PositiveInt


class IntRange(Section):
    """Whole numbers from `low` to `high`, both included."""

    type: Literal["int"]
    low: int
    high: int
    log: bool = False

    @model_validator(mode="after")
    def is_a_range(self) -> "IntRange":
        _check_range(self.low, self.high, self.log)
        return self


class FloatRange(Section):
    """Numbers from `low` to `high`, every `step` where one is given."""

    type: Literal["float"]
    low: Annotated[float, Field(allow_inf_nan=False)]
    high: Annotated[float, Field(allow_inf_nan=False)]
    log: bool = False
    step: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None

    @model_validator(mode="after")
    def is_a_range(self) -> "FloatRange":
        _check_range(self.low, self.high, self.log)
        if self.log and self.step is not None:
            raise ValueError("either log or step, not both")
        return self


class Choices(Section):
    """One of the given values."""

    type: Literal["categorical"]
    choices: Annotated[tuple[str | int | float, ...], Field(min_length=1, strict=False)]


def _check_range(low: float, high: float, log: bool) -> None:
    if low > high:
        raise ValueError(f"low at most high, received low {low} and high {high}")
    if log and low <= 0:
        raise ValueError(f"low above 0 on a log scale, received low {low}")


Distribution = Annotated[IntRange | FloatRange | Choices, Field(discriminator="type")]
Hyperparameter = Literal["depth", "width", "activation", "dropout", "optimizer", "learning_rate", "batch_size"]
SearchSpace = dict[Hyperparameter, Distribution | str | int | float]


class Search(Section):
    n_trials: PositiveInt
    workers: Literal["auto"] | PositiveInt
    seed: Annotated[int, Field(ge=0, lt=2**31)]
    metric: Literal["auto"] | MetricName
    keep: PositiveInt
    warmup_epochs: Annotated[int, Field(ge=0)]
    space: SearchSpace

    @model_validator(mode="after")
    def is_complete(self) -> "Search":
        missing = [name for name in get_args(Hyperparameter) if name not in self.space]
        if missing:
            raise ValueError(f"a distribution or a value for each hyperparameter, missing {', '.join(missing)}")
        return self


class Select(Section):
    minimum_gain: Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Evaluate(Section):
    bootstrap_samples: Annotated[int, Field(ge=2)]
    confidence: Fraction


class Package(Section):
    workers: PositiveInt


class Image(Section):
    height: PositiveInt
    width: PositiveInt
    maximum: Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Source(Section):
    """Where a dataset comes from and what it asks for.

    `files` maps a file's name to the sha256 of its content; `addresses` are tried in turn, with
    `{file}` replaced by the name.
    """

    source: Literal["scikit-learn", "idx", "statlib_housing", "csv"]
    task: Task
    target: str | None = None
    classes: tuple[str, ...] | None = Field(default=None, strict=False)
    image: Image | None = None
    addresses: tuple[str, ...] = Field(default=(), strict=False)
    files: dict[str, Annotated[str, Field(pattern="^[0-9a-f]{64}$")]] = {}

    @model_validator(mode="after")
    def has_what_its_source_needs(self) -> "Source":
        if self.source != "scikit-learn" and not (self.files and self.addresses):
            raise ValueError("files with their sha256, and addresses, for a source that is downloaded")
        for name in self.files:
            if name != Path(name).name or name in {"", ".", ".."}:
                raise ValueError(f"a plain file name, received {name!r}")
        if self.source == "csv" and self.target is None:
            raise ValueError("target: the name of the column to predict")
        if self.source == "idx" and self.image is None:
            raise ValueError("image: height, width and maximum of a pixel")
        return self


class Params(Section):
    """What one dataset's stages are told: the sections with that dataset's overrides in them."""

    dataset: str
    source: Source
    fetch: Fetch
    preprocess: Preprocess
    train: Train
    search: Search
    select: Select
    evaluate: Evaluate
    package: Package

    @property
    def metric(self) -> MetricName:
        """The validation metric that ranks trials, candidates and champion."""
        if self.search.metric != "auto":
            return self.search.metric
        return "rmse" if self.source.task == "regression" else "log_loss"

    @model_validator(mode="after")
    def metric_fits_task(self) -> "Params":
        fitting = {"rmse", "mae"} if self.source.task == "regression" else {"log_loss", "accuracy"}
        if self.metric not in fitting:
            raise ValueError(f"search.metric: expected one of {', '.join(sorted(fitting))}, received {self.metric!r}")
        return self


SECTIONS = ("fetch", "preprocess", "train", "search", "select", "evaluate", "package")
OVERRIDABLE = ("preprocess", "train", "search")
TOP_LEVEL = ("datasets", *SECTIONS, "overrides", "catalog")


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
        if isinstance(base.get("space"), Mapping) and isinstance(change.get("space"), Mapping):
            merged[section]["space"] = {**base["space"], **change["space"]}
    if problems:
        return None, problems
    try:
        return Params.model_validate(merged), []
    except ValidationError as error:
        return None, [_problem(item, name, overrides) for item in error.errors()]


def _problem(item: Any, dataset: str, overrides: Mapping[str, Any]) -> str:
    """One pydantic error as `where.it.is: expected …, received …`."""
    location = [part for part in item["loc"] if part not in {"int", "float", "categorical", "[key]"}]
    location = [part for part in location if not str(part).startswith(("literal[", "constrained-", "function-"))]
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
    return f"{where}: expected {_expectation(item['msg'])}, received {_show(item['input'])}"


def _expectation(message: str) -> str:
    for opening in ("Input should be ", "Value error, "):
        message = message.removeprefix(opening)
    return message


def _names_beside(location: list[Any]) -> tuple[str, ...]:
    """The names allowed where the last part of `location` stands."""
    if len(location) > 1 and location[-2] == "space":
        return get_args(Hyperparameter)
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


def _refusal(path: Path, problems: list[str]) -> UserError:
    count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    return UserError("\n  ".join([f"{path.name} has {count}, nothing was run:", *problems]))


def _show(value: Any) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
