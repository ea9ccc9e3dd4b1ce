"""The configurations of a space: the one to begin with, and how many there are."""

import itertools
import math
from collections.abc import Iterator
from typing import Any

from contracts.settings.load import Choices, SearchSpace
from contracts.settings.space import Range
from models.search.suggest import suggest


def default_configuration(space: SearchSpace) -> dict[str, Any]:
    """What a study tries first, as Optuna's parameters: each default, else the middle of a range (of its
    logarithm on a log scale) and the first of the choices.
    """
    trial = _Defaults(space)
    suggest(trial, space)
    return trial.params


def n_configurations(space: SearchSpace, most: int) -> int | None:
    """How many different configurations a space has; None where they are more than `most`, or without number."""
    try:
        n = sum(1 for _ in itertools.islice(_configurations(space), most + 1))
    except Continuous:
        return None
    return n if n <= most else None


class Continuous(Exception):
    """A range whose values cannot be counted."""


class _Defaults:
    """Answers with what each distribution begins with."""

    def __init__(self, space: SearchSpace) -> None:
        self.space = space
        self.params: dict[str, Any] = {}

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        return self._note(name)

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        return self._note(name)

    def suggest_categorical(self, name: str, choices: Any) -> Any:
        return self._note(name, choices)

    def _note(self, name: str, choices: Any = ()) -> Any:
        # A part of the width, one layer's or whether they are equal, has no entry of its own.
        part = Choices(type="categorical", choices=choices) if choices else self.space.get("width")
        entry = self.space.get(name, part)
        assert isinstance(entry, Range | Choices)
        self.params[name] = entry.begin
        return entry.begin


class _Counted:
    """Answers with the values that `path` says, one place per question, and with the first ones after it."""

    def __init__(self, path: list[int]) -> None:
        self.path, self.sizes, self.asked = list(path), [], 0  # type: tuple[list[int], list[int], int]

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        return self._answer(range(low, high + 1, step))

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        if low == high:
            return self._answer([low])
        if step is None:
            raise Continuous
        return self._answer([low + number * step for number in range(math.floor((high - low) / step + 1e-9) + 1)])

    def suggest_categorical(self, name: str, choices: Any) -> Any:
        return self._answer(choices)

    def _answer(self, values: Any) -> Any:
        if self.asked == len(self.path):
            self.path.append(0)
        self.sizes.append(len(values))
        self.asked += 1
        return values[self.path[self.asked - 1]]


def _configurations(space: SearchSpace) -> Iterator[dict[str, Any]]:
    """Every configuration once, as an odometer goes through them: conditions decide what is asked for."""
    path: list[int] = []
    while True:
        trial = _Counted(path)
        yield suggest(trial, space)
        path = trial.path
        while path and path[-1] == trial.sizes[len(path) - 1] - 1:
            path.pop()
        if not path:
            return
        path[-1] += 1
