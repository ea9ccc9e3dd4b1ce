"""What a study asks of Optuna: one value after the other, each where its condition holds."""

from typing import Any, Protocol

from contracts.settings.conditions import condition, holds, in_order
from contracts.settings.load import Choices, FloatRange, IntRange, SearchSpace
from contracts.settings.space import Range


class Asked(Protocol):
    """The part of `optuna.Trial` that is used, so that others can answer in its place."""

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int: ...
    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float: ...
    def suggest_categorical(self, name: str, choices: Any) -> Any: ...


def suggest(trial: Asked, space: SearchSpace) -> dict[str, Any]:
    """One configuration: a searched value for each distribution whose condition holds, the others as they are."""
    chosen: dict[str, Any] = {}
    for name in in_order(space):
        if holds(condition(space[name]), chosen):
            chosen[name] = _suggest(trial, name, space[name], chosen)
    return {name: chosen[name] for name in space if name in chosen}


def _suggest(trial: Asked, name: str, entry: Any, chosen: dict[str, Any]) -> Any:
    if isinstance(entry, Range) and entry.layers != "equal":
        return _of_layers(trial, name, entry, chosen["depth"])
    match entry:
        case IntRange():
            return trial.suggest_int(name, entry.low, entry.high, step=entry.step or 1, log=entry.log)
        case FloatRange():
            return trial.suggest_float(name, entry.low, entry.high, step=entry.step, log=entry.log)
        case Choices():
            return trial.suggest_categorical(name, entry.choices)
        case fixed:
            return fixed


def _of_layers(trial: Asked, name: str, entry: Range, depth: int) -> Any:
    """A value for all layers, or a list with one for each of them, asked for as `width_1`, `width_2`, …"""
    own = entry.layers == "own"
    if entry.layers == "either" and depth > 1:  # one layer has the same as all of them
        own = trial.suggest_categorical(f"{name}_layers", ("equal", "own")) == "own"
    alone = entry.model_copy(update={"layers": "equal"})
    if own:
        return [_suggest(trial, f"{name}_{layer}", alone, {}) for layer in range(1, depth + 1)]
    return _suggest(trial, name, alone, {})
