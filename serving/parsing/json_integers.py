"""Whole numbers from 0 to 999 in JSON, as pixels are, read with NumPy: faster than simdjson, beside other threads."""

import math
import re

import numpy as np

COMMA, SPACE, ZERO = ord(","), ord(" "), ord("0")
TWO_CLOSED = re.compile(rb"\] *\]")
BETWEEN = re.compile(rb"[^0-9]{,20}")
SKIPPED = 2  # characters at the start of a text that are no number's end: [[


def read_small_numbers(text: bytes) -> np.ndarray | None:
    """A JSON array of such numbers, two or three deep and each as long as its neighbours, as uint16.

    None where the text holds anything else but spaces, or is no JSON.
    """
    if b"." in text or b"-" in text:  # soon said
        return None
    characters = np.frombuffer(text, np.uint8)
    digits = characters - ZERO
    is_digit, is_space = digits < 10, characters == SPACE
    ends = np.flatnonzero(is_digit[SKIPPED:-1] > is_digit[SKIPPED + 1 :])  # of numbers
    if (shape := _shape(text, len(ends))) is None or not _nested(text, characters, ends.reshape(shape)):
        return None
    # A sign after each number, and none to spare: so each is the comma or the bracket that belongs there.
    n_digits, n_commas = np.count_nonzero(is_digit), len(ends) - 1
    n_signs = n_commas + 2 * sum(math.prod(shape[:level]) for level in range(len(shape)))
    if (
        n_digits + np.count_nonzero(is_space) + n_signs != len(text)
        or np.count_nonzero(characters == COMMA) != n_commas
        or (is_digit[:-1] & is_space[1:]).any()
    ):
        return None
    digits *= (ones := is_digit.view(np.uint8))
    to_here = digits[:-2] * ones[1:-1] * np.uint16(100)  # the value of the three characters that end here
    to_here += digits[1:-1] * np.uint8(10) + digits[2:]
    values = to_here.take(ends)
    # As many digits as the values need: no zero before a number, and no fourth digit.
    needed = len(values) + np.count_nonzero(values > 9) + np.count_nonzero(values > 99)
    return values.reshape(shape) if n_digits == needed else None


def _shape(text: bytes, n_numbers: int) -> tuple[int, ...] | None:
    """The shape that so many numbers have, if all is as long as the first row, and the first array of rows."""
    inner = [text.count(b",", 0, text.find(b"]")) + 1]
    if text[:6].replace(b" ", b"").startswith(b"[[["):
        closed = TWO_CLOSED.search(text)
        inner.insert(0, text.count(b"]", 0, closed.start()) + 1 if closed else 1)
    n_elements, left = divmod(n_numbers, math.prod(inner))
    return (n_elements, *inner) if n_elements and not left else None


def _nested(text: bytes, characters: np.ndarray, ends: np.ndarray) -> bool:
    """Whether brackets close and open after the last number of each row, and of each array of rows.

    Args:
        ends: where each number ends, less SKIPPED, in the shape that the array is to have.
    """
    depth, last = ends.ndim, ends[..., -1] + SKIPPED + 1
    opened, closed = BETWEEN.match(text), text[int(last.flat[-1]) :]
    if opened[0].replace(b" ", b"") != b"[" * depth or closed.replace(b" ", b"") != b"]" * depth:  # type: ignore[index]
        return False
    for level in range(1, depth):
        inside = last[..., :-1].ravel()
        if len(inside):
            between = BETWEEN.match(text, int(inside[0]))[0]  # type: ignore[index]
            if between.replace(b" ", b"") != b"]" * level + b"," + b"[" * level:
                return False
            if not all((characters.take(inside + at, mode="clip") == sign).all() for at, sign in enumerate(between)):
                return False
        last = last[..., -1]
    return True
