"""JSON as the service takes it: UTF-8, no NaN, no key twice in one object."""

import json
import re
from typing import Any

import orjson

from serving.errors import Problem, Wrong, kind, refuse, shown
from serving.parsing.json_arrays import read_array

LONG = 1024  # bytes; a shorter body is parsed before its array is found
DEEP = b"[" * 1000
# Strings one after the other, so that a quote inside of one is never taken for the start of another.
STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"(\s*:)?', re.DOTALL)


def parse_object(body: bytes, arrays: tuple[str, ...] = (), most: int | None = None) -> dict[str, Any]:
    """The object that a body holds.

    Args:
        arrays: keys whose value may come as an array of numbers of 2 or 3 dimensions instead of nested lists.
        most: lists and objects that any request within the limits needs.

    Raises:
        Problem: 400, saying where the text stops being JSON, or which key is there twice; 413 for more than `most`.
    """
    if arrays and len(body) > LONG and (document := _with_array(body, arrays)) is not None:
        return document
    if not body.strip():
        raise Problem(400, "the body is empty: expected a JSON object such as the examples in /docs")
    # Millions of empty ones take seconds and a gigabyte, and nothing else is answered meanwhile.
    if most is not None and len(body) > most and (received := body.count(b"]") + body.count(b"}")) > most:
        if DEEP in body:
            raise Problem(400, "the body is not JSON that can be read: it is nested more than 1,000 deep")
        raise Problem(413, f"expected at most {most} lists and objects in a request, received {received}")
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Problem(
            400, f"the body is not JSON: {error.msg[:200]} (line {error.lineno}, column {error.colno})"
        ) from None
    if not isinstance(document, dict):
        raise refuse(Wrong("$", "an object", kind(document)))
    if body.count(b'"') == 2 * len(document):  # no string but these names, each once
        return document
    written = STRING.findall(body)
    if len(written) - written.count(b"") != len(document):  # an object in the object, or a key twice
        _refuse_duplicates(document, len(written) - written.count(b""), body)
    return document


def _with_array(body: bytes, arrays: tuple[str, ...]) -> dict[str, Any] | None:
    """The object with its array of numbers as an array; None where that is not all there is to say about it."""
    start, end = body.find(b"["), body.rfind(b"]") + 1
    if not body[start + 1 : start + 100].lstrip().startswith(b"["):  # rows by name, most likely
        return None
    before, after = body[:start], body[end:]
    if not 0 <= start < end or b"null" in before or b"null" in after:
        return None
    try:
        document = parse_object(b"%bnull%b" % (before, after))  # so that null is where the array was, and nowhere else
    except Problem:
        return None
    places = [name for name, value in document.items() if value is None]
    if len(places) != 1 or places[0] not in arrays or (values := read_array(body[start:end])) is None:
        return None
    return document | {places[0]: values}


def check_keys(document: dict[str, Any], known: tuple[str, ...]) -> list[Wrong]:
    """A complaint about every key that the protocol does not have."""
    expected = "no key but " + ", ".join(known)
    return [Wrong(f"$[{shown(key)}]", expected, "an unknown key") for key in document if key not in known]


def _refuse_duplicates(document: Any, written: int, body: bytes) -> None:
    """orjson keeps the last of two equal keys; the number of keys in the text says that there were two."""
    if _count(document) == written:
        return
    errors: list[Wrong] = []

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        names = [name for name, _ in items]
        twice = sorted({name for name in names if names.count(name) > 1}) if len(names) < 1000 else []
        errors.extend(Wrong(shown(name), "one value", "the name more than once in an object") for name in twice)
        return dict(items)

    json.loads(body, object_pairs_hook=pairs)
    raise refuse(*(errors or [Wrong("$", "each name once in an object", "a name more than once")]))


def _count(value: Any) -> int:
    """The number of keys in all objects of a document."""
    if type(value) is dict:
        return len(value) + sum(_count(inner) for inner in value.values() if type(inner) in (dict, list))
    return sum(_count(inner) for inner in value if type(inner) in (dict, list))
