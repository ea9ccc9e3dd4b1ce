"""Whether the texts of a column are numbers, dates or neither, collected batch by batch."""

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.sources.conversion.dates import DATES, parse_date_form
from pipeline.sources.conversion.matching import MOSTLY, matches
from pipeline.sources.conversion.values import (
    CONVENTIONS,
    INTEGER,
    LEADING_ZERO,
    is_exact,
    number_pattern,
    unit_of,
    without_unit,
)

UNLIKE = 100_000  # texts other than numbers after which they are no longer counted
SHOWN = 10  # of these texts are remembered


@dataclass
class Mistakes:
    """Texts that are not numbers: their count, and the first of them with their rows, counted from 1."""

    count: int = 0
    first: list[tuple[str, int]] = field(default_factory=list)

    def __str__(self) -> str:
        count = f"{self.count:,} values: " if self.count > 1 else ""
        shown = ", ".join(f"{text!r} in row {row}" for text, row in self.first)
        return f"{count}{shown}{', …' if self.count > len(self.first) else ''}"


class Evidence:
    """Facts about all texts of a column so far. `convert` finds the same in a whole column at once."""

    def __init__(self, missing: tuple[str, ...], numbers: bool = True) -> None:
        """
        Args:
            missing: texts that stand for a missing value.
            numbers: whether the texts may be numbers; otherwise only dates are searched.
        """
        self.missing = missing
        self.rows = self.present = 0
        self.units: set[str | None] = set()
        self.is_integer = self.is_exact = self.is_code = self.is_plain = numbers
        self.has_zero, self.lengths = False, set[int]()  # whether a text of digits begins with 0; the lengths of all
        self.fits = dict.fromkeys(CONVENTIONS if numbers else (), True)  # whether all texts are such numbers
        self.dates = [form for form, _ in DATES]
        self.mistakes = {name: Mistakes() for name in CONVENTIONS}

    def add(self, column: pa.Array) -> None:
        """Take further texts into account; a null is a missing value. A type that is refuted costs no more time, nor do
        numbers that PyArrow reads.
        """
        present, first_row = column.drop_null(), self.rows + 1
        is_plain = self.is_plain and is_plain_number(present)
        is_whole = is_plain and self.is_integer and _is_canonical_integer(present)
        if self.is_open and not is_plain:
            column = trimmed(column, self.missing)
            if column.null_count < len(column):
                self.units.add(unit := unit_of(column))
                column = without_unit(column, unit)
            present = column.drop_null()
        elif len(present):
            self.units.add(None)
        self.rows, self.present = self.rows + len(column), self.present + len(present)
        if not len(present):
            return
        self.is_plain = is_plain
        if self.is_integer:
            self.is_integer = is_whole or matches(present, INTEGER)
            self.is_exact &= is_whole or not self.is_integer or is_exact(present)
        if self.is_code:
            self.is_code = not is_whole and matches(present, LEADING_ZERO)
        if len(self.lengths) < 2:
            self.has_zero |= not is_whole and bool(pc.any(pc.match_substring_regex(present, LEADING_ZERO)).as_py())
            are_digits = is_whole or matches(present, r"^\d+$")
            self.lengths |= set(pc.unique(pc.utf8_length(present)).to_pylist()) if are_digits else {-1, -2}
        if self.dates:
            self.dates = [] if is_plain else [form for form in self.dates if parse_date_form(present, form) is not None]
        for convention in self.fits:
            if is_whole or (is_plain and convention == "point"):
                continue
            self._look_for_mistakes(column, convention, first_row)

    @property
    def is_open(self) -> bool:
        """Whether further texts may change the result."""
        return self.is_integer or self.are_codes or bool(self.dates) or not all(map(self._gave_up, self.fits))

    @property
    def are_codes(self) -> bool:
        """Whether all texts so far are codes of digits, as `convert` finds them."""
        return self.is_code or (self.has_zero and len(self.lengths) == 1)

    def _gave_up(self, convention: str) -> bool:
        return self.mistakes[convention].count > UNLIKE

    def _look_for_mistakes(self, column: pa.Array, convention: str, first_row: int) -> None:
        found = self.mistakes[convention]
        if self._gave_up(convention):
            return
        wrong = pc.fill_null(pc.invert(pc.match_substring_regex(column, number_pattern(convention))), False)
        count = pc.sum(wrong).as_py()
        if not count:
            return
        self.fits[convention] = False
        found.count += count
        for row in np.flatnonzero(wrong.to_numpy(zero_copy_only=False))[: SHOWN - len(found.first)]:
            found.first.append((column[int(row)].as_py(), first_row + int(row)))

    @property
    def unit(self) -> str | None:
        """The unit of all numbers."""
        return next(iter(self.units)) if len(self.units) == 1 else None

    def kind(self, convention: str, is_number: bool) -> str:
        """`integer`, `number`, `text`, or the form of the dates.

        Args:
            is_number: whether the settings call the column a number, even with codes such as 007.
        """
        if not self.present or len(self.units) > 1:
            return "text"
        if self.is_integer and (self.is_exact or not is_number):
            return "integer" if self.is_exact else "text"
        if self.fits.get(convention) and (is_number or not self.are_codes):
            return "number"
        return self.dates[0] if self.dates else "text"

    def nearly_numbers(self, convention: str) -> Mistakes | None:
        """The mistakes in a column of text whose values are nearly all numbers."""
        found = self.mistakes[convention]
        return found if 0 < found.count <= (1 - MOSTLY) * self.present else None


def trimmed(column: pa.Array, missing: tuple[str, ...]) -> pa.Array:
    """Texts without spaces around them, and null for those in `missing`; unchanged if there is nothing to change."""
    if not missing:
        return column
    texts = pc.utf8_trim_whitespace(column)
    return pc.if_else(pc.is_in(texts, value_set=pa.array(missing)), pa.scalar(None, pa.string()), texts)


def is_plain_number(column: pa.Array) -> bool:
    """Whether all texts are numbers as PyArrow reads them, which are those with a decimal point and no thousands."""
    try:
        numbers = column.cast(pa.float64())
    except pa.ArrowInvalid:
        return False
    return not pc.any(pc.is_nan(numbers)).as_py()


def _is_canonical_integer(column: pa.Array) -> bool:
    try:
        return bool(pc.all(pc.equal(column.cast(pa.int64()).cast(pa.string()), column)).as_py())
    except pa.ArrowInvalid:
        return False


def find_convention(evidence: list[Evidence]) -> str:
    """The convention under which more columns are numbers; a point where both do."""

    def numbers(convention: str) -> int:
        return sum(bool(column.present) and column.fits.get(convention, False) for column in evidence)

    return max(CONVENTIONS, key=numbers)
