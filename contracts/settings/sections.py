"""The sections of `params.yaml` and of a file in `catalog/`, typed and frozen.

What a key of `params.yaml` does is said beside it there; `docs/reference/parameters.md` is made from both.
"""

import importlib.util
import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, field_validator, model_validator

from contracts.settings.pruners import Pruner
from contracts.settings.space import SearchSpace, Section, continuous
from contracts.spec import required_hyperparameters

Task = Literal["multiclass", "binary", "multilabel", "regression"]
Sampler = Literal["auto", "grid", "random", "tpe", "cmaes", "qmc", "gp", "nsga2"]
MetricName = Literal["log_loss", "accuracy", "rmse", "mae"]

Fraction = Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)]
PositiveInt = Annotated[int, Field(ge=1)]


class Fetch(Section):
    """fetch downloads or reads a dataset as one table."""

    timeout: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    attempts: PositiveInt


class Preprocess(Section):
    """preprocess splits the rows into train, validation and test, and freezes the schema."""

    test_fraction: Fraction
    validation_fraction: Fraction
    seed: Annotated[int, Field(ge=0, lt=2**32)]
    bins: Annotated[int, Field(ge=0, le=256)]

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

    epochs: PositiveInt
    patience: PositiveInt
    restarts: PositiveInt
    class_weights: Literal["none", "balanced"] | dict[str, Annotated[float, Field(ge=0, allow_inf_nan=False)]]
    fine_tune: FineTune | None


class Search(Section):
    """search, in the stage train, says which configurations are tried and how the best are found."""

    n_trials: PositiveInt | None
    timeout: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None
    workers: Literal["auto"] | PositiveInt
    scheduler: str | None
    trial_timeout: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None
    seed: Annotated[int, Field(ge=0, lt=2**31)]
    metric: Literal["auto"] | MetricName
    keep: PositiveInt
    sampler: Sampler
    pruner: Pruner
    second_objective: Literal["none", "parameters", "latency"]
    tolerance: Annotated[float, Field(ge=0, lt=1)]
    folds: Annotated[int, Field(ge=1, le=20)]
    finalist_seeds: Annotated[int, Field(ge=0, le=100)]
    warmup_epochs: Annotated[int, Field(ge=0)]
    space: SearchSpace

    @field_validator("scheduler")
    @classmethod
    def is_an_address(cls, address: str | None) -> str | None:
        if address is not None and not re.fullmatch(r"(tcp|tls)://[^\s:/]+:\d{1,5}", address):
            raise ValueError(f"null or the address of a Dask scheduler, as tcp://host:8786, received {address!r}")
        return address

    @model_validator(mode="after")
    def ends(self) -> "Search":
        if self.n_trials is None and self.timeout is None:
            raise ValueError("a number for n_trials or timeout or both, received null for both")
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
            raise ValueError(f"pruner: none {beside}, because no pruner knows which one counts, received another")
        if self.finalist_seeds:
            raise ValueError(f"finalist_seeds: 0 {beside}, which ranks the best itself, received another number")

    @model_validator(mode="after")
    def is_complete(self) -> "Search":
        missing = [
            name for name in required_hyperparameters() if name not in self.space and f"{name}_1" not in self.space
        ]
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


class Evaluate(Section):
    """evaluate measures the winner on the test rows."""

    bootstrap_samples: Annotated[int, Field(ge=2)]
    confidence: Fraction


class Package(Section):
    """package makes the Bento that `make serve` starts."""

    workers: PositiveInt


class Image(Section):
    """The size of an image and the value of its brightest pixel."""

    height: PositiveInt
    width: PositiveInt
    maximum: Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Source(Section):
    """Where a dataset comes from and what is predicted. `$DATA_MIRROR/<dataset>/<file>` is tried before `addresses`."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    source: str
    """A file, a folder of files or an address with the rows; or scikit-learn, idx, statlib_housing or csv."""
    task: Task | None = None
    """What is predicted: one class of several or of two, several labels at once, or a number; null = by the target."""
    target: str | None = None
    """The column to predict; needed for a file and for csv."""
    columns: dict[str, Literal["number", "category", "drop"]] = Field(default={})
    """What a column is, where it is not what it looks like, by its name; an identifier can be learned from so."""
    delimiter: Annotated[str, Field(min_length=1, max_length=1)] | None = None
    """The sign between two values of a file; null = found."""
    decimal: Literal[".", ","] | None = None
    """The decimal mark of a file; null = found."""
    encoding: str | None = None
    """The encoding of a file; null = found."""
    missing: tuple[str, ...] | None = Field(default=None, strict=False)
    """Texts that mean a missing value, such as -999; null = blank, NA, NaN, null, None, ? and the like."""
    weight: str | None = None
    """The column that holds each example's weight; null = all weigh the same."""
    classes: tuple[str, ...] | None = Field(default=None, strict=False)
    """Names of the classes in the order of their codes, for idx; null = 0 to 9."""
    image: Image | None = None
    """The size of the images, for idx and for scikit-learn's digits; null = a table."""
    addresses: tuple[str, ...] = Field(default=(), strict=False)
    """URLs, tried in turn; `{file}` stands for a name in `files`."""
    files: dict[str, Annotated[str, Field(pattern="^[0-9a-f]{64}$")]] = Field(default={})
    """SHA-256 of each file's content, after decompression, by the file's name."""

    @property
    def is_file(self) -> bool:
        """Whether `source` is a path or an address rather than the name of a reader."""
        return self.source not in READERS

    @model_validator(mode="after")
    def has_what_its_source_needs(self) -> "Source":
        if self.is_file:
            if self.target is None:
                raise ValueError("target: the name of the column to predict")
            if self.task == "multilabel":
                raise ValueError("task: binary, multiclass or regression for a file, received 'multilabel'")
            return self
        if self.task is None:
            raise ValueError(f"task: what is predicted, for source: {self.source}")
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


READERS = ("scikit-learn", "idx", "statlib_housing", "csv")


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

    def metric_for(self, task: Task) -> MetricName:
        """The validation metric that ranks trials, candidates and champion."""
        if self.search.metric != "auto":
            return self.search.metric
        return "rmse" if task == "regression" else "log_loss"
