"""The exception that is shown without a stack trace, and helpers for its message."""

import difflib
import reprlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 60


class UserError(Exception):
    """A mistake that the user can correct: the message says what was expected, what was received and what to do."""


@dataclass(frozen=True)
class Problem:
    """One mistake and its place: `where: expected …, received …`.

    `received` is empty where `expected` already says what was received.
    """

    where: str
    expected: str
    received: str = ""

    def __str__(self) -> str:
        received = f", received {_line(self.received)}" if self.received else ""
        return f"{_line(self.where)}: expected {_line(self.expected, 1000)}{received}"


def nearest(name: object, names: Iterable[str]) -> str:
    """`; did you mean 'width'?` for the closest of the names; empty where none is close."""
    known = list(names)
    same = [other for other in known if other.lower() == str(name).lower()]
    close = same or difflib.get_close_matches(str(name)[:100], known, n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def count(n: int, what: str) -> str:
    """`1 row`, `2,000 rows`."""
    return f"{n} {what}" if n == 1 else f"{n:,} {what}s"


def show(value: Any) -> str:
    """A value as Python writes it, short enough for one line."""
    return _line(_SHORT.repr(value))


def _line(text: str, most: int = 400) -> str:
    """A text of any length and with any characters in one line."""
    text = text if len(text) <= most else f"{text[: most // 2]}…{text[-most // 2 :]}"
    return printable(text)


def printable(text: str) -> str:
    """A text with its line ends and other control characters written out, so that a terminal does not obey them."""
    return "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in text)
