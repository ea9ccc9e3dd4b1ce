"""Long arrays of numbers in JSON, read without making a Python object of each number."""

import math
import re
import threading
from collections.abc import Iterator, Sequence

import numpy as np
import simdjson

from serving.parsing.json_integers import read_small_numbers

SHORT = 32 * 1024  # bytes: of a shorter text the brackets and commas are compared as they are
NUMBER = b"0123456789+-.eE \t\n\r"  # what is left without these is the shape
PIECE = 512 * 1024  # bytes read at a time: what is made of them stays in a core's cache, and memory bounded
DEEP = {2: re.compile(rb"\]\s*(,)"), 3: re.compile(rb"\]\s*\]\s*(,)")}  # by depth, the comma between two elements
COMMA, OPENING = ord(","), ord("[")
EITHER = ord("[") | ord("]")  # what both brackets become where the bits in which they differ are set
OPEN = 2**32  # beside the number of commas after it, what tells an opening bracket from a closing one

_own = threading.local()


def read_array(text: bytes) -> np.ndarray | None:
    """A JSON array of arrays of numbers, two or three deep and each as long as its neighbours, as float64.

    As uint16 where all are whole numbers from 0 to 999 and many. None where the text is anything else, or no JSON: the
    slower ways know what to say about it. simdjson (https://arxiv.org/abs/1902.08318) makes the other numbers; it
    does not tell their shape, which is read from the brackets.
    """
    parts: list[np.ndarray] = []
    small = len(text) >= SHORT
    for piece in _pieces(text):
        values = read_small_numbers(piece) if small else None
        if values is None and (values := _read(piece)) is None:
            return None
        if parts and values.shape[1:] != parts[0].shape[1:]:
            return None
        parts.append(values)
    return np.concatenate(parts) if len(parts) > 1 else parts[0] if parts else None


def _read(text: bytes) -> np.ndarray | None:
    if not hasattr(_own, "parser"):  # one a thread: it keeps its memory, which is dear to ask for
        _own.parser = simdjson.Parser()
    if (shape := (_short_shape if len(text) < SHORT else _shape)(text)) is None:
        return None
    try:
        values = np.frombuffer(_own.parser.parse(text).as_buffer(of_type="d"))
    except (ValueError, TypeError, RuntimeError):  # no JSON, no number, a number that 64 bits do not hold
        return None
    return values.reshape(shape) if len(values) == math.prod(shape) else None


def _pieces(text: bytes) -> Iterator[bytes]:
    """Arrays of some of the elements each: one after the other they are those of `text`."""
    if len(text) <= PIECE:
        yield text
        return
    depth = re.match(rb"(?:\s*\[)*", text)[0].count(b"[")  # type: ignore[index]
    if depth not in DEEP:
        return
    start, last = 1, len(text) - 1
    while start <= last:
        between = DEEP[depth].search(text, start + PIECE)
        end = between.start(1) if between else last
        yield b"[%b]" % text[start:end]
        start = end + 1


def _short_shape(text: bytes) -> tuple[int, ...] | None:
    """What `_shape` says, without NumPy's dozen of calls, which cost more than a short text."""
    signs = text.translate(None, NUMBER)
    depth = 3 if signs.startswith(b"[[[") else 2
    part = signs[depth - 1 : signs.find(b"]") + 1]
    shape = [len(part) - 1]
    for level in range(1, depth):
        whole = signs[depth - 1 - level : signs.find(b"]" * (level + 1)) + level + 1]
        shape.insert(0, whole.count(part) if part else 0)
        if whole != b"[%b]" % b",".join([part] * shape[0]):
            return None
        part = whole
    return tuple(shape) if part == signs else None


def _shape(text: bytes) -> tuple[int, ...] | None:
    """The shape that brackets and commas have: the array's, if the text is JSON and has as many numbers."""
    characters = np.frombuffer(text, np.uint8)
    brackets = np.flatnonzero(characters | (ord("[") ^ ord("]")) == EITHER)
    opening = characters[brackets] == OPENING
    # Counted modulo 65536, twice as fast: the number of numbers tells where that was too few.
    commas = np.add.reduceat((characters == COMMA).view(np.uint8), brackets, dtype=np.uint16)
    depth = int(opening.argmin())  # brackets before the first that closes
    if depth not in DEEP:
        return None
    inner = [int(commas[depth - 1]) + 1]
    if depth == 3:
        ends = np.flatnonzero(~opening[3:-1] & ~opening[4:])  # the first one ends the first array of arrays
        if not len(ends):
            return None
        inner.insert(0, (int(ends[0]) + 2) // 2)
    shape = (max(1, (len(brackets) - 2) // len(_signs(inner))), *inner)
    return shape if np.array_equal(_signs(shape), commas + OPEN * opening) else None


def _signs(shape: Sequence[int]) -> np.ndarray:
    """The brackets of an array of a shape, each with the number of commas after it."""
    signs = np.array([OPEN + shape[-1] - 1, 0])
    for size in shape[-2::-1]:
        signs[-1] = 1
        signs = np.tile(signs, size)
        signs[-1] = 0
        signs = np.concatenate([[OPEN], signs, [0]])
    return signs
