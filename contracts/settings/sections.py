"""The sections of `params.yaml` and of a file in `catalog/`, typed and frozen.

A comment beside each key of `params.yaml` says what it does; `docs/reference/parameters.md` is made from both.
"""

import importlib.util
import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationInfo, field_validator, model_validator

from contracts.settings.gates import Gates
from contracts.settings.pruners import Pruner
from contracts.settings.source import SCIKIT_LEARN, Source, Task
from contracts.settings.space import SearchSpace, Section, continuous
from contracts.spec import BINNED, required_hyperparameters

Sampler = Literal["auto", "grid", "random", "tpe", "cmaes", "qmc", "gp", "nsga2"]
MetricName = Literal[
    "log_loss", "accuracy", "roc_auc", "pr_auc", "brier", "f1", "macro_f1", "balanced_accuracy",
    "rmse", "mae", "r2", "rmsle", "mape", "quantile_loss",
]  # fmt: skip
OF_CLASSES = ("accuracy", "log_loss", "macro_f1", "roc_auc", "pr_auc", "brier", "balanced_accuracy")
# The names in `contracts.metrics`, which not every stage imports.
METRICS: dict[Task, tuple[str, ...]] = {
    "multiclass": OF_CLASSES,
    "binary": (*OF_CLASSES, "f1"),
    "multilabel": (*OF_CLASSES, "f1"),
    "regression": ("rmse", "mae", "r2", "rmsle", "mape", "quantile_loss"),
}

Fraction = Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)]
MOST_COUNT = 1_000_000
MOST_SECONDS = 10_000_000  # the most that a timer can wait
PositiveInt = Annotated[int, Field(ge=1, le=MOST_COUNT)]
Seconds = Annotated[float, Field(gt=0, le=MOST_SECONDS, allow_inf_nan=False)]
Workers = Annotated[int, Field(ge=1, le=256)]


def is_scheduler(address: str) -> bool:
    """Whether an address has the form of a Dask scheduler's."""
    form = re.fullmatch(r"(tcp|tls)://[^\s:/]+:(\d{1,5})", address)
    return form is not None and 0 < int(form[2]) < 2**16


def _check_address(address: str) -> str:
    if not is_scheduler(address):
        raise ValueError(f"null or the address of a Dask scheduler, as tcp://host:8786, received {address!r}")
    return address


Scheduler = Annotated[str, AfterValidator(_check_address)]


def _check_storage(address: str) -> str:
    if not re.fullmatch(r"(\w+://[^\s/]|/)\S*", address):
        raise ValueError(f"null, an address as s3://bucket/folder, or a folder from the root on, received {address!r}")
    return address.rstrip("/")


Storage = Annotated[str, AfterValidator(_check_storage)]


class Fetch(Section):
    """fetch downloads or reads a dataset as one table."""

    timeout: Seconds
    attempts: Annotated[int, Field(ge=1, le=20)]
    memory: Literal["auto"] | Annotated[float, Field(gt=0, le=1_000_000, allow_inf_nan=False)] = "auto"


class Preprocess(Section):
    """preprocess splits the rows into train, validation and test, and freezes the schema."""

    test_fraction: Fraction
    validation_fraction: Fraction
    seed: Annotated[int, Field(ge=0, lt=2**32)]
    bins: Literal["auto"] | Annotated[int, Field(ge=0, le=256)]
    scheduler: Scheduler | None = None

    @model_validator(mode="after")
    def leaves_rows_to_train_on(self) -> "Preprocess":
        if self.test_fraction + self.validation_fraction >= 1:
            raise ValueError("test_fraction + validation_fraction below 1, so that rows are left to train on")
        return self


class FineTune(Section):
    """Start the first `layers` hidden layers from those of another bundle, `frozen` or trained on."""

    bundle: str
    layers: PositiveInt
    frozen: bool


class Train(Section):
    """train fits each trial of the search."""

    epochs: Literal["auto"] | PositiveInt
    patience: PositiveInt
    restarts: PositiveInt
    class_weights: Literal["none", "balanced"] | dict[str, Annotated[float, Field(ge=0, allow_inf_nan=False)]]
    fine_tune: FineTune | None
    memory: Literal["auto"] | Annotated[float, Field(gt=0, le=1_000_000, allow_inf_nan=False)] = "auto"


class Search(Section):
    """search, in the stage train, says which configurations are tried and how the best are found."""

    n_trials: PositiveInt | None
    timeout: Seconds | None
    workers: Literal["auto"] | Workers
    scheduler: Scheduler | None
    storage: Storage | None = None
    trial_timeout: Seconds | None
    seed: Annotated[int, Field(ge=0, lt=2**31)]
    metric: Literal["auto"] | MetricName
    keep: PositiveInt
    sampler: Sampler
    pruner: Pruner
    second_objective: Literal["none", "parameters", "latency"]
    tolerance: Annotated[float, Field(ge=0, lt=1)]
    folds: Annotated[int, Field(ge=1, le=20)]
    finalist_seeds: Annotated[int, Field(ge=0, le=100)]
    ensemble: Annotated[int, Field(ge=1, le=32)] = 1
    distil: bool = False
    validation_rows: Annotated[int, Field(ge=1, le=1_000_000_000)] = 200_000
    rows: Annotated[int, Field(ge=1, le=1_000_000_000)] | None = None
    warmup_epochs: Annotated[int, Field(ge=0, le=1_000_000)]
    space: SearchSpace

    @model_validator(mode="after")
    def ends(self) -> "Search":
        if self.n_trials is None and self.timeout is None:
            raise ValueError("a number for n_trials or timeout or both, received null for both")
        return self

    @model_validator(mode="after")
    def has_teacher(self) -> "Search":
        if self.distil and self.ensemble == 1:
            raise ValueError("an ensemble of at least 2 with distil, received ensemble: 1")
        return self

    @model_validator(mode="after")
    def sampler_fits(self) -> "Search":
        endless = continuous(self.space)
        if self.sampler == "grid" and endless:
            raise ValueError(f"a step for the range of {', '.join(endless)}, or choices, because sampler is grid")
        if self.sampler == "nsga2" and self.second_objective == "none":
            raise ValueError("a second_objective for sampler: nsga2, received second_objective: none")
        if self.second_objective != "none":
            self._objectives_fit()
        if self.pruner.type == "wilcoxon" and self.folds == 1:
            raise ValueError("folds above 1 for pruner: wilcoxon, which compares folds, received folds: 1")
        if self.sampler == "gp" and importlib.util.find_spec("torch") is None:
            raise ValueError("PyTorch for sampler: gp, which is not installed: .venv/bin/uv pip install torch")
        return self

    def _objectives_fit(self) -> None:
        beside = f"beside second_objective: {self.second_objective}"
        if self.sampler == "cmaes":
            raise ValueError(f"another sampler {beside}, because cmaes has one objective only")
        if self.pruner.type not in ("auto", "none"):
            raise ValueError(f"pruner: none {beside}, because pruners know one objective only, received another")
        if self.finalist_seeds:
            raise ValueError(f"finalist_seeds: 0 {beside}, where the Pareto front ranks, received another number")

    @model_validator(mode="after")
    def is_complete(self) -> "Search":
        missing = [n for n in required_hyperparameters() if n not in self.space and f"{n}_1" not in self.space]
        if missing:
            raise ValueError(
                f"a distribution or a value for each hyperparameter without a default, missing {', '.join(missing)}"
            )
        return self


class Select(Section):
    """select compares the candidates with the champion on the validation rows."""

    minimum_gain: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    confidence: Fraction
    tolerance: Annotated[float, Field(ge=0, lt=1)]
    incomparable: Literal["replace", "keep"]
    threshold: Literal["f1", "balanced_accuracy"] | Fraction
    approval: Literal["automatic", "manual"]
    gates: Gates = Gates()


class Evaluate(Section):
    """evaluate measures the winner on the test rows."""

    bootstrap_samples: Annotated[int, Field(ge=2, le=1_000_000)]
    confidence: Fraction


class Package(Section):
    """package makes the Bento that `make serve` starts."""

    workers: Workers


class Settings(Section):
    """The sections of `params.yaml`, one per stage; `search` is the second one of train."""

    fetch: Fetch
    preprocess: Preprocess
    train: Train
    search: Search
    select: Select
    evaluate: Evaluate
    package: Package


class Params(Settings):
    """The settings of one dataset: `params.yaml` with the overrides of `catalog/<dataset>.yaml`, and its `data`."""

    dataset: str
    source: Source = Field(alias="data")

    def bins_for(self, n_rows: int) -> int:
        """The number of intervals that are fitted for each numeric column of `n_rows` train rows."""
        numeric = self.search.space.get("numeric")
        asked = BINNED & set(getattr(numeric, "choices", (numeric,)))
        auto = 48 if asked or n_rows >= 1000 else 0  # with fewer rows an interval would hold only a handful
        return auto if self.preprocess.bins == "auto" else self.preprocess.bins

    @field_validator("source")
    @classmethod
    def is_brought_by_scikit_learn(cls, source: Source, info: ValidationInfo) -> Source:
        if source.source != "scikit-learn":
            return source
        name, shape = info.data["dataset"], (8, 8) if info.data["dataset"].startswith("digit") else None
        tasks = SCIKIT_LEARN.get(name)
        if tasks is None:
            raise ValueError(f"source: a file or an address; scikit-learn has {', '.join(SCIKIT_LEARN)} and no {name}")
        if source.task not in tasks:
            raise ValueError(f"task: {' or '.join(tasks)} for {name}, received {source.task!r}")
        if source.image and (source.image.height, source.image.width) != shape:
            raise ValueError(f"image: {'height: 8 and width: 8' if shape else 'none'} for {name}, received another")
        return source

    def metric_for(self, task: Task) -> MetricName:
        """The validation metric that ranks trials, candidates and champion."""
        if self.search.metric != "auto":
            return self.search.metric
        if self.source.quantiles:
            return "quantile_loss"
        return "rmse" if task == "regression" else "log_loss"
