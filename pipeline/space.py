"""What a search may vary: distributions over hyperparameters, checked against what a network can be."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, ValidationError, model_validator

from models.spec import Spec, misfits_of_task


class Section(BaseModel):
    """Strict and frozen: an unknown key or a value of another type is an error."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")


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
    choices: Annotated[tuple[bool | str | int | float | None, ...], Field(min_length=1, strict=False)]


def _check_range(low: float, high: float, log: bool) -> None:
    if low > high:
        raise ValueError(f"low at most high, received low {low} and high {high}")
    if log and low <= 0:
        raise ValueError(f"low above 0 on a log scale, received low {low}")


Distribution = Annotated[IntRange | FloatRange | Choices, Field(discriminator="type")]
Value = bool | str | int | float | list[int | float | str] | None


def _which(value: Any) -> str:
    return "distribution" if isinstance(value, Mapping | Section) else "value"


# Told apart by its form, so that a mistake in one is not reported as a mistake in each of the others.
Entry = Annotated[Annotated[Distribution, Tag("distribution")] | Annotated[Value, Tag("value")], Discriminator(_which)]
SearchSpace = dict[str, Entry]


def problems_of_space(space: Mapping[str, Any], task: str) -> list[str]:
    """Why some network of the space cannot be built, each as `name: expected …, received …`.

    Tried are the ends of each range and every choice, one hyperparameter at a time, because nothing but
    what is always there is needed by what may be chosen.
    """
    return list(dict.fromkeys(problem for one in _tried(space) for problem in _problems(one, task)))


def specs_tried(space: Mapping[str, Any]) -> list[Spec]:
    """Networks in which every end of every range and every choice of the space is used at least once."""
    return [Spec(**one) for one in _tried(space)]


def _tried(space: Mapping[str, Any]) -> list[dict[str, Any]]:
    values = {name: _ends(value) for name, value in space.items()}
    first = {name: ends[0] for name, ends in values.items()}
    return [first, *({**first, name: end} for name, ends in values.items() for end in ends[1:])]


def _ends(value: Any) -> list[Any]:
    match value:
        case IntRange() | FloatRange():
            return [value.low, value.high]
        case Choices():
            return list(value.choices)
        case fixed:
            return [fixed]


def _problems(hyperparameters: Mapping[str, Any], task: str) -> list[str]:
    try:
        return misfits_of_task(Spec(**hyperparameters), task)
    except ValidationError as error:
        return [_problem(item) for item in error.errors()]


def _problem(item: Any) -> str:
    if item["type"] == "value_error":
        return str(item["ctx"]["error"])
    return f"{item['loc'][0]}: expected {item['msg'].removeprefix('Input should be ')}, received {item['input']!r}"
