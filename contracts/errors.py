"""The one exception that is shown without a stack trace, and the words of its message."""

import difflib
import reprlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 60


class UserError(Exception):
    """A mistake that the user can mend: the message says what was expected, what was received, what to do."""


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong, and where: `where: expected …, received …`.

    `received` is empty where `expected` already says what was received.
    """

    where: str
    expected: str
    received: str = ""

    def __str__(self) -> str:
        received = f", received {self.received}" if self.received else ""
        return f"{self.where}: expected {self.expected}{received}"


def nearest(name: object, names: Iterable[str]) -> str:
    """`; did you mean 'width'?` for the closest of the names; empty where none is close."""
    known = list(names)
    same = [other for other in known if other.lower() == str(name).lower()]
    close = same or difflib.get_close_matches(str(name), known, n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def show(value: Any) -> str:
    """A value as Python writes it, short enough for one line."""
    return _SHORT.repr(value)
