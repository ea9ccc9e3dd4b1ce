"""Whether every network of a search space can be built, checked before anything is trained."""

import itertools
from collections.abc import Mapping
from graphlib import CycleError
from typing import Any

from pydantic import ValidationError

from contracts.errors import nearest
from contracts.settings.space import (
    Distribution,
    Range,
    choose,
    condition,
    contains,
    in_order,
    to_hyperparameters,
    values_of,
)
from contracts.spec import Spec, hyperparameters, task_problems


def problems_of_space(space: Mapping[str, Any], task: str) -> list[str]:
    """Why some network of the space cannot be built, each as `name: expected …, received …`."""
    problems = _condition_problems(space) + [
        f"{name}.layers: expected only for width, received {entry.layers!r}"
        for name, entry in space.items()
        if isinstance(entry, Range) and entry.layers != "equal"
    ]
    if problems:
        return problems
    return list(dict.fromkeys(problem for one in _corners(space) for problem in _network_problems(one, task)))


def corner_specs(space: Mapping[str, Any]) -> list[Spec]:
    """Networks in which every end of every range and every choice of the space is used at least once."""
    return [Spec(**one) for one in _corners(space)]


def _corners(space: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The hyperparameters of those networks: one entry varies at a time, under each value that its condition allows."""
    ends = {name: entry.ends() if isinstance(entry, Distribution) else [entry] for name, entry in space.items()}
    first = {name: values[0] for name, values in ends.items()}
    tried = [first]
    for name, values in ends.items():
        needed = _needed(space, name)
        for others in itertools.product(*needed.values()):
            tried += [{**first, **dict(zip(needed, others, strict=True)), name: value} for value in values]
    corners: list[dict[str, Any]] = []
    for picked in tried:
        one = to_hyperparameters(choose(space, lambda name, _, picked=picked: picked[name]))  # type: ignore[misc]
        if one not in corners:
            corners.append(one)
    return corners


def _needed(space: Mapping[str, Any], name: str) -> dict[str, list[Any]]:
    """The values that others must have for `name` to be used; a list is empty if no value fits."""
    needed: dict[str, list[Any]] = {}
    todo = [name]
    while todo:
        for other, allowed in condition(space.get(todo.pop())).items():
            possible = [value for value in allowed if other in space and contains(values_of(space[other]), value)]
            needed[other] = [value for value in needed.get(other, possible) if contains(possible, value)]
            todo.append(other)
    return needed


def _condition_problems(space: Mapping[str, Any]) -> list[str]:
    """Conditions that cannot hold, each as `name.when: expected …, received …`."""
    problems = []
    for name, entry in space.items():
        for other, allowed in condition(entry).items():
            if other not in hyperparameters():
                hint = nearest(other, hyperparameters())
                problems.append(f"{name}.when: expected a hyperparameter, received {other!r}{hint}")
                continue
            literals = _literals(other)
            problems += [
                f"{name}.when.{other}: expected {', '.join(literals)}, received {value!r}{nearest(value, literals)}"
                for value in allowed
                if literals and value not in literals
            ]
    if problems:
        return problems
    try:
        in_order(space)
    except CycleError as error:
        names = error.args[1]
        return [f"{names[0]}.when: expected conditions without a circle, received {' → '.join(names)}"]
    return [
        _never(space, name, other) for name in space for other, values in _needed(space, name).items() if not values
    ]


def _literals(name: str) -> list[str]:
    """The words that a hyperparameter may have, if it takes nothing else."""
    arguments = getattr(Spec.model_fields[name].annotation, "__args__", ())
    return list(arguments) if all(isinstance(argument, str) for argument in arguments) else []


def _never(space: Mapping[str, Any], name: str, other: str) -> str:
    allowed = condition(space[name]).get(other)
    if other not in space:
        return f"{name}.when: expected a hyperparameter of the space, received {other!r}"
    if allowed is None or any(contains(values_of(space[other]), value) for value in allowed):
        return f"{name}.when: expected conditions that can hold together, received contrary ones about {other}"
    received = allowed[0] if len(allowed) == 1 else allowed
    return f"{name}.when: expected a value that {other} can have here, received {received!r}"


def _network_problems(values: Mapping[str, Any], task: str) -> list[str]:
    try:
        return task_problems(Spec(**values), task)
    except ValidationError as error:
        return [_translated(item) for item in error.errors()]


def _translated(item: Any) -> str:
    if item["type"] == "value_error":
        return str(item["ctx"]["error"])
    if item["type"] == "missing":
        return f"{item['loc'][0]}: expected in every network, because it has no default; received a condition"
    return f"{item['loc'][0]}: expected {item['msg'].removeprefix('Input should be ')}, received {item['input']!r}"
