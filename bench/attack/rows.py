"""What an attack found: one row of the table that `make attack` prints."""

from typing import NamedTuple


class Row(NamedTuple):
    """A class of cases.

    Args:
        failures: a sentence for each failed case.
        notes: figures in words.
    """

    name: str
    cases: int
    failures: list[str]
    notes: str = ""
