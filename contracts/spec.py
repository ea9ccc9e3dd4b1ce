"""A network and its training as data. This module does not import TensorFlow."""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

# Raised when the same spec, seed and rows give other numbers (tests/models/test_network_version.py). Trials of two
# versions are not comparable, so the name of a study contains it.
NETWORK_VERSION = 3

Width = Annotated[int, Field(ge=1, le=65_536)]
Names = Annotated[tuple[str, ...], Field(min_length=1, strict=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, lt=1)]

Initializer = Literal[
    "uniform", "lecun_uniform", "normal", "zero", "glorot_normal", "glorot_uniform", "he_normal", "he_uniform"
]
# `auto` means the first of each.
OUTPUTS = {
    "multiclass": ("softmax",),
    "binary": ("sigmoid",),
    "multilabel": ("sigmoid",),
    "regression": ("linear", "relu", "softplus", "sigmoid", "tanh"),
}
LOSSES = {
    "multiclass": ("cross_entropy",),
    "binary": ("cross_entropy",),
    "multilabel": ("cross_entropy",),
    "regression": ("mse", "mae", "huber"),
}
BINNED = {"quantile", "piecewise", "piecewise_sum"}  # encodings of numbers by the intervals that preprocess fits
SCHEDULE_PARAMETERS = {
    "constant": (),
    "time": ("decay",),
    "exponential": ("decay",),
    "cosine": (),
    "coslog4": (),
    "plateau": ("decay", "plateau_patience"),
}


class Spec(BaseModel):
    """The hyperparameters of a multilayer perceptron, which a search sets or varies.

    A hyperparameter that another choice makes meaningless is ignored (`momentum` with Adam), so that a search can vary
    that choice.
    """

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    # The network
    family: Literal["sequential", "wide_deep", "ensemble"] = "sequential"
    depth: Annotated[int, Field(ge=0, le=32)]
    width: Width | Annotated[tuple[Width, ...], Field(strict=False)]
    activation: Literal["relu", "selu", "gelu", "silu", "mish", "tanh", "sigmoid"]
    parametric: bool = False
    initializer: Initializer = "glorot_uniform"
    normalization: Literal["none", "batch", "layer"] = "none"
    dropout: Fraction
    l2: NotNegative = 0.0
    max_norm: Positive | None = None
    residual: bool = False
    members: Annotated[int, Field(ge=2, le=256)] = 16
    members_per_row: Annotated[int, Field(ge=1, le=256)] | None = None
    wide: Names | None = None
    deep: Names | None = None
    auxiliary_weight: Fraction = 0.0
    target_scale: Literal["plain", "log"] = "plain"
    clip_output: bool = False
    output: Literal["auto", "linear", "relu", "softplus", "sigmoid", "tanh", "softmax"] = "auto"
    bounds: Annotated[tuple[float, float], Field(strict=False)] | None = None

    # The inputs
    numeric: Literal[
        "auto", "none", "standardise", "robust", "quantile", "piecewise", "piecewise_sum", "periodic", "pbld"
    ] = "auto"
    frequencies: Annotated[int, Field(ge=1, le=1024)] = 16
    frequency_scale: Positive = 0.1
    numeric_embedding: Annotated[int, Field(ge=0, le=1024)] = 0
    categorical: Literal["one_hot", "embedding", "by_size"] = "one_hot"
    embedding: Annotated[int, Field(ge=1, le=1024)] = 8
    input_scale: bool = False
    shift: Annotated[int, Field(ge=0)] = 0
    flip: bool = False
    noise: NotNegative = 0.0

    # The training
    loss: Literal["auto", "cross_entropy", "mse", "mae", "huber"] = "auto"
    label_smoothing: Fraction = 0.0
    optimizer: Literal["adam", "rmsprop", "sgd", "nadam", "adamw"]
    learning_rate: Positive
    momentum: Fraction = 0.9
    nesterov: bool = False
    weight_decay: NotNegative = 0.01
    beta_2: Fraction = 0.999
    ema: Fraction = 0.0
    schedule: Literal["constant", "time", "exponential", "cosine", "coslog4", "plateau"] = "constant"
    decay: Positive | None = None
    plateau_patience: Annotated[int, Field(ge=1)] | None = None
    warmup: NotNegative = 0.0
    batch_size: Annotated[int, Field(ge=1)] = 32
    precision: Literal["float32", "mixed_float16", "mixed_bfloat16"] = "float32"

    @property
    def dealt_to(self) -> int | None:
        """To how many of its members an ensemble gives each row; None for all."""
        return None if self.members_per_row == self.members else self.members_per_row

    @property
    def widths(self) -> tuple[int, ...]:
        """The units of each hidden layer."""
        return (self.width,) * self.depth if isinstance(self.width, int) else self.width

    @model_validator(mode="after")
    def is_consistent(self) -> "Spec":
        for problem in _inconsistencies(self):
            raise ValueError(problem)
        return self


def _inconsistencies(spec: Spec) -> Iterator[str]:
    """Hyperparameters that contradict each other, as `name: expected …, received …`."""
    if len(spec.widths) != spec.depth:
        yield f"width: expected {spec.depth} widths, one for each of depth, received {len(spec.widths)}"
    for name in SCHEDULE_PARAMETERS[spec.schedule]:
        if getattr(spec, name) is None:
            yield f"{name}: expected a number for schedule: {spec.schedule}, received nothing"
    if spec.schedule == "plateau" and spec.decay is not None and spec.decay >= 1:
        yield f"decay: expected a factor below 1 for schedule: plateau, received {spec.decay:g}"
    if spec.bounds is not None and not spec.bounds[0] < spec.bounds[1]:
        yield f"bounds: expected low below high, received {list(spec.bounds)}"
    if spec.target_scale == "log" and spec.output not in ("auto", "linear"):
        yield f"output: expected linear for target_scale: log, received {spec.output!r}"
    if (spec.wide is None) != (spec.deep is None):
        missing = "wide" if spec.wide is None else "deep"
        yield f"{missing}: expected a list of features, because the other path has one, received nothing"
    if (spec.wide or spec.auxiliary_weight) and spec.family != "wide_deep":
        which = "wide" if spec.wide else "auxiliary_weight"
        yield f"{which}: expected only with family: wide_deep, received family: {spec.family}"
    if spec.numeric in ("piecewise_sum", "pbld") and spec.numeric_embedding < 2:
        yield (f"numeric_embedding: expected 2 or more for numeric: {spec.numeric}, received {spec.numeric_embedding}")
    if spec.members_per_row is not None and spec.members % spec.members_per_row:
        yield f"members_per_row: expected a divisor of members: {spec.members}, received {spec.members_per_row}"
    if spec.flip and spec.family == "wide_deep" and spec.wide:
        yield "flip: expected false with paths over named features, received true"


def task_problems(spec: Spec, task: str) -> list[str]:
    """Hyperparameters that do not suit a task, as `name: expected …, received …`."""
    problems = []
    if spec.output != "auto" and spec.output not in OUTPUTS[task]:
        problems.append(f"output: expected {_alternatives(OUTPUTS[task])} for {task}, received {spec.output!r}")
    if spec.loss != "auto" and spec.loss not in LOSSES[task]:
        problems.append(f"loss: expected {_alternatives(LOSSES[task])} for {task}, received {spec.loss!r}")
    if spec.label_smoothing and task == "regression":
        problems.append(f"label_smoothing: expected 0 for regression, received {spec.label_smoothing:g}")
    if spec.target_scale == "log" and task != "regression":
        problems.append(f"target_scale: expected plain for {task}, received 'log'")
    if task == "regression" and spec.output in ("sigmoid", "tanh") and spec.bounds is None:
        problems.append(f"bounds: expected [low, high] for output: {spec.output}, received nothing")
    return problems


def hyperparameters() -> tuple[str, ...]:
    return tuple(Spec.model_fields)


def required_hyperparameters() -> tuple[str, ...]:
    """The names of the hyperparameters without a default."""
    return tuple(name for name, field in Spec.model_fields.items() if field.is_required())


def _alternatives(names: tuple[str, ...]) -> str:
    return " or ".join(names)
