"""The pruners by name, each with the numbers it needs."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from contracts.settings.space import Section

Count = Annotated[int, Field(ge=0)]
Number = Annotated[float, Field(allow_inf_nan=False)]


class Plain(Section):
    """`auto` depends on folds and budget; `none` lets every trial run to its end."""

    type: Literal["auto", "none"]


class Median(Section):
    """Ends a trial that is worse than half of the trials at the same epoch, once `startup_trials` trials have ended."""

    type: Literal["median"]
    startup_trials: Count = 4


class Halving(Section):
    """Lets the best of every `reduction_factor` trials go on at each rung (Li et al., 2018 and 2020)."""

    type: Literal["successive_halving", "hyperband"]
    reduction_factor: Annotated[int, Field(ge=2)] = 3


class Patient(Section):
    """The median pruner, only for trials without an improvement over `patience` epochs."""

    type: Literal["patient"]
    patience: Count = 5
    startup_trials: Count = 4


class Threshold(Section):
    """Ends a trial whose metric is below `lower` or above `upper`."""

    type: Literal["threshold"]
    lower: Number | None = None
    upper: Number | None = None

    @model_validator(mode="after")
    def has_one(self) -> "Threshold":
        if self.lower is None and self.upper is None:
            raise ValueError("lower or upper or both, received neither")
        return self


class Wilcoxon(Section):
    """Ends a trial that is worse than the best one by a signed-rank test over the folds (Wilcoxon, 1945)."""

    type: Literal["wilcoxon"]
    p: Annotated[float, Field(gt=0, lt=1)] = 0.1
    startup_folds: Annotated[int, Field(ge=2)] = 2


def _by_name(value: Any) -> Any:
    return value if isinstance(value, Mapping | Section) else {"type": value}


Pruner = Annotated[
    Annotated[Plain | Median | Halving | Patient | Threshold | Wilcoxon, Field(discriminator="type")],
    BeforeValidator(_by_name),
]
