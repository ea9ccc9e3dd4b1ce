"""JSON as the service takes it: UTF-8, no NaN, no key twice in one object."""

import json
import re
from typing import Any

import orjson

from serving.problems import Problem, Wrong, kind, refuse, shown

# Strings one after the other, so that a quote inside of one is never taken for the start of another.
STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"(\s*:)?', re.DOTALL)


def parse_object(body: bytes) -> dict[str, Any]:
    """The object that a body holds.

    Raises:
        Problem: 400, saying where the text stops being JSON, or which key is there twice.
    """
    if not body.strip():
        raise Problem(400, "the body is empty: expected a JSON object such as the examples in /docs")
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Problem(
            400, f"the body is not JSON: {error.msg[:200]} (line {error.lineno}, column {error.colno})"
        ) from None
    if not isinstance(document, dict):
        raise refuse(Wrong("$", "an object", kind(document)))
    written = STRING.findall(body)
    if len(written) - written.count(b"") != len(document):  # an object in the object, or a key twice
        _refuse_duplicates(document, len(written) - written.count(b""), body)
    return document


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
