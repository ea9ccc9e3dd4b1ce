"""What a search may vary: distributions over hyperparameters, checked against what a network can be."""

import itertools
import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, ValidationError, model_validator

from contracts.settings.conditions import condition, demands, holds, in_order, problems_of_conditions
from contracts.spec import Spec, task_problems


class Section(BaseModel):
    """Strict and frozen: an unknown key or a value of another type is an error."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")


Plain = bool | str | int | float | None


class Distribution(Section):
    """What all have: the value to begin with, and what others must be for it to be asked for.

    `when` maps other hyperparameters to the value, or the list of values, that they must have.
    """

    when: dict[str, Plain | list[Plain]] = {}


class Range(Distribution):
    """Numbers from `low` to `high`, both included, evenly spread or on a log scale.

    `layers` says, for the width alone, whether all layers have an `equal` one, each its `own`, or
    `either`, which is searched too.
    """

    low: Any
    high: Any
    step: Any = None
    log: bool = False
    default: Any = None
    layers: Literal["equal", "own", "either"] = "equal"

    @model_validator(mode="after")
    def is_a_range(self) -> "Range":
        if self.low > self.high:
            raise ValueError(f"low at most high, received low {self.low} and high {self.high}")
        if self.log and self.low <= 0:
            raise ValueError(f"low above 0 on a log scale, received low {self.low}")
        if self.log and self.step is not None:
            raise ValueError("either log or step, not both")
        if self.default is not None and not self.low <= self.default <= self.high:
            raise ValueError(f"default between {self.low} and {self.high}, received {self.default}")
        if self.default is not None and self.step is not None and not self.has(self.default):
            raise ValueError(f"default a step of {self.step} from {self.low}, received {self.default}")
        return self

    def has(self, value: Any) -> bool:
        """Whether it is one of the values; a single one out of a continuous range is not."""
        if isinstance(value, bool) or not isinstance(value, int | float) or not self.low <= value <= self.high:
            return False
        if self.step is None:
            return self.low == self.high
        steps = (value - self.low) / self.step
        return abs(steps - round(steps)) < 1e-9

    @property
    def begin(self) -> Any:
        """The default, or what stands for it: the middle, that of the logarithm on a log scale.

        As Optuna computes a value, so that 0.3 and 0.30000000000000004 are no two configurations.
        """
        value = self.default
        if value is None:
            value = math.sqrt(self.low * self.high) if self.log else (self.low + self.high) / 2
        return value if self.step is None else self.low + round((value - self.low) / self.step) * self.step


class IntRange(Range):
    """Whole numbers, every `step` where one is given."""

    type: Literal["int"]
    low: int
    high: int
    step: Annotated[int, Field(ge=1)] | None = None
    default: int | None = None

    @property
    def begin(self) -> int:
        return round(super().begin)

    def has(self, value: Any) -> bool:
        return isinstance(value, int) and not isinstance(value, bool) and value in self.values()

    def values(self) -> range:
        return range(self.low, self.high + 1, self.step or 1)


class FloatRange(Range):
    """Numbers, every `step` where one is given."""

    type: Literal["float"]
    low: Annotated[float, Field(allow_inf_nan=False)]
    high: Annotated[float, Field(allow_inf_nan=False)]
    step: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    default: Annotated[float, Field(allow_inf_nan=False)] | None = None


class Choices(Distribution):
    """One of the given values."""

    type: Literal["categorical"]
    choices: Annotated[tuple[Plain, ...], Field(min_length=1, strict=False)]
    default: Plain = None

    @property
    def begin(self) -> Plain:
        return self.default if "default" in self.model_fields_set else self.choices[0]

    @model_validator(mode="after")
    def has_its_default(self) -> "Choices":
        if "default" in self.model_fields_set and self.default not in self.choices:
            raise ValueError(f"default among the choices {list(self.choices)}, received {self.default!r}")
        return self


Value = bool | str | int | float | list[int | float | str] | None


def _which(value: Any) -> str:
    return "distribution" if isinstance(value, Mapping | Section) else "value"


# Told apart by its form, so that a mistake in one is not reported as a mistake in each of the others.
Searched = Annotated[IntRange | FloatRange | Choices, Field(discriminator="type")]
Entry = Annotated[Annotated[Searched, Tag("distribution")] | Annotated[Value, Tag("value")], Discriminator(_which)]
SearchSpace = dict[str, Entry]


def problems_of_space(space: Mapping[str, Any], task: str) -> list[str]:
    """Why some network of the space cannot be built, each as `name: expected …, received …`.

    Tried are the ends of each range and every choice, one hyperparameter at a time, under each of the
    values that it waits for.
    """
    problems = problems_of_conditions(space) + [
        f"{name}.layers: expected only for width, received {entry.layers!r}"
        for name, entry in space.items()
        if isinstance(entry, Range) and entry.layers != "equal" and name != "width"
    ]
    if problems:
        return problems
    return list(dict.fromkeys(problem for one in _tried(space) for problem in _problems(one, task)))


def continuous(space: Mapping[str, Any]) -> list[str]:
    """The hyperparameters that have values without number."""
    return [
        name
        for name, entry in space.items()
        if isinstance(entry, FloatRange) and entry.step is None and entry.low < entry.high
    ]


def specs_tried(space: Mapping[str, Any]) -> list[Spec]:
    """Networks in which every end of every range and every choice of the space is used at least once."""
    return [Spec(**one) for one in _tried(space)]


def _tried(space: Mapping[str, Any]) -> list[dict[str, Any]]:
    ends = {name: _ends(value) for name, value in space.items()}
    first = {name: values[0] for name, values in ends.items()}
    tried = [_asked(space, first)]
    for name, values in ends.items():
        demanded = demands(space, name)
        for others in itertools.product(*demanded.values()):
            known = dict(zip(demanded, others, strict=True))
            tried += [_asked(space, {**first, **known, name: end}) for end in values]
    return [one for number, one in enumerate(tried) if one not in tried[:number]]


def _asked(space: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """The hyperparameters whose conditions hold, with these values."""
    chosen: dict[str, Any] = {}
    for name in in_order(space):
        if holds(condition(space[name]), chosen):
            each = getattr(space[name], "layers", "equal") != "equal"
            chosen[name] = [values[name]] * chosen["depth"] if each else values[name]
    return chosen


def _ends(value: Any) -> list[Any]:
    match value:
        case Range():
            return [value.low, value.high]
        case Choices():
            return list(value.choices)
        case fixed:
            return [fixed]


def _problems(hyperparameters: Mapping[str, Any], task: str) -> list[str]:
    try:
        return task_problems(Spec(**hyperparameters), task)
    except ValidationError as error:
        return [_problem(item) for item in error.errors()]


def _problem(item: Any) -> str:
    if item["type"] == "value_error":
        return str(item["ctx"]["error"])
    if item["type"] == "missing":
        return f"{item['loc'][0]}: expected in every network, because it has no default; received a condition"
    return f"{item['loc'][0]}: expected {item['msg'].removeprefix('Input should be ')}, received {item['input']!r}"
