"""Configurations of a search space: suggested by Optuna, the default one, and their number."""

import itertools
from collections.abc import Iterator
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution

from contracts.settings.space import (
    Choices,
    Distribution,
    FloatRange,
    IntRange,
    SearchSpace,
    choose,
    continuous,
    holds,
    in_order,
    to_hyperparameters,
)


def suggest(trial: optuna.Trial, space: SearchSpace) -> dict[str, Any]:
    """The hyperparameters of a trial: suggested where a distribution is used, plain values as they are."""
    return to_hyperparameters(choose(space, lambda name, entry: _suggest(trial, name, entry)))


def _suggest(trial: optuna.Trial, name: str, entry: Distribution) -> Any:
    match entry:
        case IntRange():
            return trial.suggest_int(name, entry.low, entry.high, step=entry.step or 1, log=entry.log)
        case FloatRange():
            return trial.suggest_float(name, entry.low, entry.high, step=entry.step, log=entry.log)
        case Choices():
            return trial.suggest_categorical(name, entry.choices)
    raise AssertionError(entry)


def default_configuration(space: SearchSpace) -> dict[str, Any]:
    """The first trial of a study, as Optuna's parameters: each default, else the middle of a range (of its logarithm
    on a log scale) and the first of the choices.
    """
    chosen = choose(space, lambda name, entry: entry.start)
    return {name: value for name, value in chosen.items() if isinstance(space[name], Distribution)}


def count_configurations(space: SearchSpace, most: int) -> int | None:
    """How many different configurations a space has; None where they are more than `most`, or uncountable."""
    if continuous(space):
        return None
    n = sum(1 for _ in itertools.islice(_configurations(space, in_order(space), {}), most + 1))
    return n if n <= most else None


def _configurations(space: SearchSpace, names: list[str], chosen: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Every configuration once: `chosen`, completed by values for the remaining names."""
    if not names:
        yield chosen
        return
    name, *rest = names
    entry = space[name]
    if not holds(entry, chosen):
        yield from _configurations(space, rest, chosen)
        return
    for value in entry.values() or () if isinstance(entry, Distribution) else [entry]:
        yield from _configurations(space, rest, {**chosen, name: value})


def unconditional_ranges(space: SearchSpace) -> dict[str, BaseDistribution]:
    """Optuna's distributions of the ranges that every trial uses and that have more than one value, by name."""
    found: dict[str, BaseDistribution] = {}
    for name, entry in sorted(space.items()):
        if isinstance(entry, IntRange) and not entry.when:
            found[name] = IntDistribution(entry.low, entry.high, entry.log, entry.step or 1)
        elif isinstance(entry, FloatRange) and not entry.when:
            found[name] = FloatDistribution(entry.low, entry.high, entry.log, entry.step)
    return {name: distribution for name, distribution in found.items() if not distribution.single()}


def is_conditional(entry: object) -> bool:
    """Whether only some trials use a hyperparameter."""
    return isinstance(entry, Distribution) and bool(entry.when)
