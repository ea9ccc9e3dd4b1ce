"""Hyperparameters that are asked for only where others have certain values."""

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

from contracts.spec import Spec, hyperparameters


class Circular(ValueError):
    """Hyperparameters that wait for each other, named."""


def holds(when: Mapping[str, Any], chosen: Mapping[str, Any]) -> bool:
    """Whether every hyperparameter named by a condition was chosen, and has one of its values."""
    return all(name in chosen and _among(chosen[name], values_of(allowed)) for name, allowed in when.items())


def condition(entry: Any) -> Mapping[str, Any]:
    """What an entry of a search space waits for: nothing, for a plain value."""
    return getattr(entry, "when", {})


def values_of(allowed: Any) -> list[Any]:
    """The values that a condition allows, which may be one."""
    return allowed if isinstance(allowed, list) else [allowed]


def in_order(space: Mapping[str, Any]) -> list[str]:
    """The names of a space, each after those that it waits for, else as they stand.

    Raises:
        Circular: where some wait for each other.
    """
    done: list[str] = []
    left = list(space)
    while left:
        ready = next((name for name in left if not _awaited(space, name) & set(left)), None)
        if ready is None:
            raise Circular(" and ".join(left))
        left.remove(ready)
        done.append(ready)
    return done


def demands(space: Mapping[str, Any], name: str) -> dict[str, list[Any]]:
    """The values that others must have so that `name` is asked for; a value is missing where none will do."""
    demanded: dict[str, list[Any]] = {}
    todo = [name]
    while todo:
        for other, allowed in condition(space.get(todo.pop())).items():
            possible = [value for value in values_of(allowed) if _possible(space, other, value)]
            demanded[other] = [value for value in demanded.get(other, possible) if _among(value, possible)]
            todo.append(other)
    return demanded


def problems_of_conditions(space: Mapping[str, Any]) -> list[str]:
    """Conditions that no choice can fulfil, each as `name.when: expected …, received …`."""
    problems = []
    for name, entry in space.items():
        for other, allowed in condition(entry).items():
            if other not in hyperparameters():
                problems.append(f"{name}.when: expected a hyperparameter, received {_near(other, hyperparameters())}")
            for value in values_of(allowed):
                problems += [f"{name}.when.{problem}" for problem in _no_such_value(other, value)]
    if problems:
        return problems
    try:
        in_order(space)
    except Circular as names:
        return [f"{str(names).split()[0]}.when: expected no circle, received one among {names}"]
    return [
        _never(space, name, other) for name in space for other, values in demands(space, name).items() if not values
    ]


def _never(space: Mapping[str, Any], name: str, other: str) -> str:
    wanted = condition(space[name]).get(other)
    if other not in space:
        return f"{name}.when: expected a hyperparameter of the space, received {other!r}"
    if wanted is None or any(_possible(space, other, value) for value in values_of(wanted)):
        return f"{name}.when: expected conditions that can hold together, received contrary ones about {other}"
    return f"{name}.when: expected a value that {other} can have here, received {wanted!r}"


def _awaited(space: Mapping[str, Any], name: str) -> set[str]:
    by_depth = {"depth"} if getattr(space[name], "layers", "equal") != "equal" else set()
    return {*condition(space[name]), *by_depth}


def _possible(space: Mapping[str, Any], name: str, value: Any) -> bool:
    """Whether a hyperparameter of the space can have that very value."""
    if name not in space:
        return False
    entry = space[name]
    if hasattr(entry, "choices"):
        return _among(value, entry.choices)
    if hasattr(entry, "low"):
        return entry.has(value)
    return _among(value, [entry])


def _no_such_value(name: str, value: Any) -> list[str]:
    """What is wrong with a value that no network can have."""
    if name not in hyperparameters():
        return []
    literals = getattr(Spec.model_fields[name].annotation, "__args__", ())
    if not literals or not all(isinstance(literal, str) for literal in literals) or value in literals:
        return []
    return [f"{name}: expected {', '.join(literals)}, received {_near(value, literals)}"]


def _near(value: Any, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(str(value), list(known), n=1)
    return f"{value!r}; did you mean {near[0]!r}?" if near else repr(value)


def _among(value: Any, values: Iterable[Any]) -> bool:
    # In Python True is 1; in a search space it is not.
    return any(value == other and isinstance(value, bool) == isinstance(other, bool) for other in values)
