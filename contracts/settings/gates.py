"""What a candidate must pass before it can become the champion: the models of `select.gates`.

A `limit` is a value of a metric that must be reached; the metric knows whether lower or higher is better. Rules about
metrics and columns are checked against the schema in `pipeline/evaluation/gates/problems.py`.
"""

import math
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from contracts.settings.space import Finite, Integer, Section

NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


def _as_written(value: Any) -> Any:
    """Refuse what YAML reads in place of a text or a missing value, with what to write."""
    if isinstance(value, date):
        raise ValueError(f"a date in quotes, received {value} without them")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"a finite number, or null for a missing value, received {value}")
    return value


Value = Annotated[bool | str | Integer | Finite | None, BeforeValidator(_as_written)]


class Slice(Section):
    """The rows with one `value` of a column, or with numbers from `low` up to and without `high`."""

    column: str
    value: Value = None
    low: Finite | None = None
    high: Finite | None = None
    metric: str
    limit: Finite

    @model_validator(mode="after")
    def is_one_kind(self) -> "Slice":
        is_range = self.low is not None or self.high is not None
        if is_range == ("value" in self.model_fields_set):
            raise ValueError("a value, or a low or a high or both, received both kinds or neither")
        return self

    def __str__(self) -> str:
        if self.low is None and self.high is None:
            return f"{self.column} = {self.value}"
        low, high = ("" if end is None else f"{end:g}" for end in (self.low, self.high))
        return " ".join(part for part in (low and f"{low} ≤", self.column, high and f"< {high}") if part)


class WorstSlices(Section):
    """No group of at least `rows` rows may be worse than the limit beyond chance."""

    metric: str
    limit: Finite
    rows: Annotated[int, Field(ge=5)] = 30


class Invariance(Section):
    """Another value of the column changes no answer by more than `most`, a probability or in units of the target."""

    column: str
    most: NotNegative


class Monotonicity(Section):
    """A higher number in the column lowers (`rising`) or raises (`falling`) no answer by more than `most`.

    `output` is the class, label or number that is looked at; a model of one number needs none.
    """

    column: str
    direction: Literal["rising", "falling"]
    output: str | None = None
    most: NotNegative = 0.0


class Case(Section):
    """A row whose answer is known: a class, the list of labels, or a number from `low` to `high`."""

    row: dict[str, Value]
    answer: Value | list[str] = None
    low: Finite | None = None
    high: Finite | None = None


class Gates(Section):
    """Each is off unless it is set. `values` and `bounds` map metrics to limits."""

    values: dict[str, Finite] = Field(default={})
    bounds: dict[str, Finite] = Field(default={})
    references: bool = False
    calibration_error: NotNegative | None = None
    slices: list[Slice] = Field(default=[])
    worst_slices: WorstSlices | None = None
    invariant: list[Invariance] = Field(default=[])
    monotonic: list[Monotonicity] = Field(default=[])
    cases: list[Case] = Field(default=[])
    seconds_per_row: Positive | None = None
    bytes: Annotated[int, Field(ge=1)] | None = None
