"""Texts as dates: the formats, and which of them fits a column."""

import re

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from contracts.encoding import AFTER_SECONDS
from pipeline.sources.conversion.matching import MOSTLY, matches

FIRST = 5  # texts of a column, of which one is a date if nearly all are
# The first format that fits is taken, so 1/2/2024 is in February unless a row contradicts it.
DAYS = {
    "%Y-%m-%d": r"\d{4}-\d{1,2}-\d{1,2}",
    "%d/%m/%Y": r"\d{1,2}/\d{1,2}/\d{4}",
    "%m/%d/%Y": r"\d{1,2}/\d{1,2}/\d{4}",
    "%d.%m.%Y": r"\d{1,2}\.\d{1,2}\.\d{4}",
    "%Y/%m/%d": r"\d{4}/\d{1,2}/\d{1,2}",
    "%d-%m-%Y": r"\d{1,2}-\d{1,2}-\d{4}",
    "%m-%d-%Y": r"\d{1,2}-\d{1,2}-\d{4}",
    "%d/%m/%y": r"\d{1,2}/\d{1,2}/\d{2}",
    "%m/%d/%y": r"\d{1,2}/\d{1,2}/\d{2}",
    "%d-%b-%Y": r"\d{1,2}-[A-Za-z]{3}-\d{4}",
    "%d %b %Y": r"\d{1,2} [A-Za-z]{3} \d{4}",
    "%d %B %Y": r"\d{1,2} [A-Za-z]{3,9} \d{4}",
    "%b %d, %Y": r"[A-Za-z]{3} \d{1,2}, \d{4}",
    "%B %d, %Y": r"[A-Za-z]{3,9} \d{1,2}, \d{4}",
}
TIMES = {
    "": "",
    " %H:%M:%S": r" \d{1,2}:\d{2}:\d{2}" + AFTER_SECONDS,
    "T%H:%M:%S": r"T\d{1,2}:\d{2}:\d{2}" + AFTER_SECONDS,
    " %H:%M": r" \d{1,2}:\d{2}",
    "T%H:%M": r"T\d{1,2}:\d{2}",
    " %I:%M:%S %p": r" \d{1,2}:\d{2}:\d{2} [APap][Mm]",
    " %I:%M %p": r" \d{1,2}:\d{2} [APap][Mm]",
}
DATES = tuple((day + time, f"^{DAYS[day]}{TIMES[time].rstrip('$')}$") for day in DAYS for time in TIMES)


def parse_dates(column: pa.Array) -> tuple[str, pa.Array] | None:
    """The one format that fits every text of a column, and the column as timestamps; None if no format fits."""
    for form, _ in DATES:
        if (parsed := parse_date_form(column, form)) is not None:
            return form, parsed
    return None


def nearly_dates(column: pa.Array) -> tuple[str, np.ndarray] | None:
    """The format of nearly all texts of a column, among them one of the first, and which rows have another one."""
    first = column.drop_null()[:FIRST]
    for form, pattern in DATES:
        if not pc.any(pc.match_substring_regex(first, pattern)).as_py():
            continue
        dates = pc.if_else(pc.match_substring_regex(column, pattern), column, pa.scalar(None, pa.string()))
        wrong = pc.and_(pc.is_valid(column), pc.is_null(moments_of(dates, form)))
        if pc.sum(wrong).as_py() <= (1 - MOSTLY) * (len(column) - column.null_count):
            return form, wrong.to_numpy(zero_copy_only=False)
    return None


def parse_date_form(column: pa.Array, form: str) -> pa.Array | None:
    """The column as timestamps, if the format fits every text."""
    if not matches(column, dict(DATES)[form]):
        return None
    parsed = moments_of(column, form)
    return parsed if parsed.null_count == column.null_count else None


def moments_of(column: pa.Array, form: str) -> pa.Array:
    """Texts as timestamps, null where the format does not fit or the day does not exist."""
    if form.endswith("%S"):
        column = pc.replace_substring_regex(column, AFTER_SECONDS, "")
    parsed = pc.strptime(column, format=form, unit="s", error_is_null=True)
    early = pc.fill_null(pc.less_equal(pc.day(parsed), 3), False)  # PyArrow takes 31 February for a day of March
    days = pc.day(parsed.filter(early))
    written = pc.extract_regex(column.filter(early), _day_pattern(form)).field("day").cast(pa.int64())
    exists = pc.if_else(pc.equal(written, days), parsed.filter(early), pa.scalar(None, parsed.type))
    return pc.replace_with_mask(parsed, early, exists)


def _day_pattern(form: str) -> str:
    """A pattern that names the digits of the day in a text of this format."""
    numbers = [letter for letter in re.findall("%(.)", form) if letter in "Ymdy"]
    return rf"^(?:\D*\d+){{{numbers.index('d')}}}\D*(?P<day>\d+)"
