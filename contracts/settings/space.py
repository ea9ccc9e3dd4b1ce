"""A search space: distributions over hyperparameters, each of which may depend on the values of others."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from graphlib import TopologicalSorter
from itertools import islice
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator


class Section(BaseModel):
    """Strict and frozen: an unknown key or a value of another type is an error."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")


# Optuna, NumPy and JSON have no other numbers.
Integer = Annotated[int, Field(ge=-(2**53), le=2**53)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Plain = bool | str | Integer | Finite | None
MOST_STEPS = 100_000  # steps of a range of floats
MOST_DEPTHS = 100  # values of `depth` that are read; a network has fewer layers


class Distribution(Section):
    """Values to search.

    `when` maps other hyperparameters to the value, or the list of values, that they must have for this one to be used.
    """

    when: dict[str, Plain | list[Plain]] = {}

    @property
    def start(self) -> Any:
        """The value of the first trial: the default, or its substitute."""
        raise NotImplementedError

    def ends(self) -> Sequence[Any]:
        """The extreme values, which are tried when a space is checked."""
        raise NotImplementedError

    def values(self) -> Sequence[Any] | None:
        """All values in order; None for a continuous range."""
        raise NotImplementedError


class Range(Distribution):
    """Numbers from `low` to `high`, both included, spread evenly or on a log scale.

    `layers: own` gives every hidden layer a width of its own; only `width` may have it.
    """

    low: Any
    high: Any
    step: Any = None
    log: bool = False
    default: Any = None
    layers: Literal["equal", "own"] = "equal"

    @model_validator(mode="after")
    def is_a_range(self) -> "Range":
        if self.low > self.high:
            raise ValueError(f"low at most high, received low {self.low} and high {self.high}")
        if self.log and self.low <= 0:
            raise ValueError(f"low above 0 on a log scale, received low {self.low}")
        if self.log and self.step is not None:
            raise ValueError("either log or step, not both")
        if isinstance(self.step, float) and self.high - self.low > MOST_STEPS * self.step:
            raise ValueError(f"at most {MOST_STEPS:,} steps from low to high, received step {self.step}")
        if self.default is not None and not self.low <= self.default <= self.high:
            raise ValueError(f"default between {self.low} and {self.high}, received {self.default}")
        if self.default is not None and self.step is not None and not contains(self.values(), self.default):
            raise ValueError(f"default a step of {self.step} from {self.low}, received {self.default}")
        return self

    @property
    def start(self) -> Any:
        """The default, else the middle (of the logarithm on a log scale), computed from steps as Optuna does."""
        value = self.default
        if value is None:
            value = math.sqrt(self.low * self.high) if self.log else (self.low + self.high) / 2
        return value if self.step is None else self.low + round((value - self.low) / self.step) * self.step

    def ends(self) -> Sequence[Any]:
        return [self.low, self.high]


class IntRange(Range):
    """Whole numbers, in steps of `step` if it is given."""

    type: Literal["int"]
    low: Integer
    high: Integer
    step: Annotated[int, Field(ge=1, le=2**53)] | None = None
    default: Integer | None = None

    @property
    def start(self) -> int:
        return round(super().start)

    def values(self) -> Sequence[int]:
        return range(self.low, self.high + 1, self.step or 1)


class FloatRange(Range):
    """Numbers, in steps of `step` if it is given."""

    type: Literal["float"]
    low: Finite
    high: Finite
    step: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    default: Finite | None = None

    def values(self) -> Sequence[float] | None:
        if self.low == self.high:
            return [self.low]
        if self.step is None:
            return None
        n_steps = math.floor((self.high - self.low) / self.step + 1e-9)
        return [self.low + number * self.step for number in range(n_steps + 1)]


class Choices(Distribution):
    """One of the given values."""

    type: Literal["categorical"]
    choices: Annotated[tuple[Plain, ...], Field(min_length=1, strict=False)]
    default: Plain = None

    @model_validator(mode="after")
    def has_its_default(self) -> "Choices":
        if "default" in self.model_fields_set and self.default not in self.choices:
            raise ValueError(f"default among the choices {list(self.choices)}, received {self.default!r}")
        return self

    @property
    def start(self) -> Plain:
        return self.default if "default" in self.model_fields_set else self.choices[0]

    def ends(self) -> Sequence[Plain]:
        return self.choices

    def values(self) -> Sequence[Plain]:
        return self.choices


def values_of(entry: Any) -> Sequence[Any] | None:
    """All values of a distribution, None for a continuous one; a plain value is the only one."""
    return entry.values() if isinstance(entry, Distribution) else [entry]


def contains(values: Iterable[Any] | None, value: Any) -> bool:
    """Whether a value is among others; numbers may differ by rounding, and True is not 1."""
    if isinstance(values, range) and type(value) in (int, float):  # it may have a billion members
        return math.isfinite(value) and round(value) in values and _same(round(value), value)
    return any(_same(value, other) for other in values or ())


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, bool) or isinstance(b, bool) or isinstance(a, str) or isinstance(b, str) or a is None or b is None:
        return type(a) is type(b) and a == b
    return math.isclose(a, b, abs_tol=1e-12)


def continuous(space: Mapping[str, Any]) -> list[str]:
    """The names of the ranges whose values cannot be counted."""
    return [name for name, entry in space.items() if values_of(entry) is None]


def condition(entry: Any) -> dict[str, list[Any]]:
    """The values that other hyperparameters must have for an entry to be used; empty for a plain value."""
    when = entry.when if isinstance(entry, Distribution) else {}
    return {name: allowed if isinstance(allowed, list) else [allowed] for name, allowed in when.items()}


def in_order(space: Mapping[str, Any]) -> list[str]:
    """The names of a space, each after those that its condition names.

    Raises:
        graphlib.CycleError: where conditions depend on each other; its second argument holds the names.
    """
    return list(
        TopologicalSorter({name: condition(space[name]).keys() & space.keys() for name in space}).static_order()
    )


def choose(space: Mapping[str, Any], pick: Callable[[str, Distribution], Any]) -> dict[str, Any]:
    """One configuration: a value from `pick` for each distribution whose condition holds, and the plain values."""
    chosen: dict[str, Any] = {}
    for name in in_order(space):
        entry = space[name]
        if holds(entry, chosen):
            chosen[name] = pick(name, entry) if isinstance(entry, Distribution) else entry
    return {name: chosen[name] for name in space if name in chosen}


def holds(entry: Any, chosen: Mapping[str, Any]) -> bool:
    """Whether the condition of an entry holds: each hyperparameter that it names is used, with one of its values."""
    return all(name in chosen and contains(allowed, chosen[name]) for name, allowed in condition(entry).items())


def to_hyperparameters(configuration: Mapping[str, Any]) -> dict[str, Any]:
    """The hyperparameters of a network: a configuration with `width_1`, `width_2`, … as one list `width`."""
    widths = [value for name, value in configuration.items() if name.startswith("width_")]
    others = {name: value for name, value in configuration.items() if not name.startswith("width_")}
    return {**others, "width": widths} if widths else others


def _expand_layers(space: dict[str, Any]) -> dict[str, Any]:
    """Replace a width with `layers: own` by `width_1`, `width_2`, …; each is used if the network has that layer."""
    width, values = space.get("width"), values_of(space.get("depth", 0))
    depths = [depth for depth in islice(values or (), MOST_DEPTHS) if type(depth) is int]
    if not isinstance(width, Range) or width.layers == "equal" or not depths:
        return space
    expanded: dict[str, Any] = {}
    for name, entry in space.items():
        if name == "width":
            for layer in range(1, max(depths) + 1):
                when = {**width.when, "depth": [depth for depth in depths if depth >= layer]}
                expanded[f"width_{layer}"] = width.model_copy(update={"layers": "equal", "when": when})
        else:
            expanded[name] = entry
    return expanded


def _tag(value: Any) -> str:
    return "distribution" if isinstance(value, Mapping | Section) else "value"


# The form decides the kind of entry, so that a mistake is not reported once for each other kind.
Searched = Annotated[IntRange | FloatRange | Choices, Field(discriminator="type")]
Fixed = Plain | list[Integer | Finite | str]
Entry = Annotated[Annotated[Searched, Tag("distribution")] | Annotated[Fixed, Tag("value")], Discriminator(_tag)]
SearchSpace = Annotated[dict[str, Entry], AfterValidator(_expand_layers)]
