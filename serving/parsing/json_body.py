"""JSON as the service accepts it: UTF-8, no NaN, no name twice in one object, a bounded number of lists and objects.

orjson parses; it accepts a name twice, as msgspec and simdjson do. `docs/decisions/0020-request-path.md`.
"""

import json
from typing import Any

import orjson

from serving.errors import FieldError, Problem, invalid_request, json_type, quote_name

TOO_DEEP = b"[" * 1000  # orjson reads 1,024 levels


def parse_json_object(body: bytes, max_containers: int | None = None) -> dict[str, Any]:
    """The object in a body.

    Args:
        max_containers: lists and objects that a request within the limits needs at most.

    Raises:
        Problem: 400 with the place where the text stops being JSON, or with the names that are there twice; 413 for
            more than `max_containers` lists and objects.
    """
    if not body.strip():
        raise Problem(400, "the body is empty: expected a JSON object such as the examples in /docs")
    if max_containers is not None:
        _check_containers(body, max_containers)
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        place = f"(line {error.lineno}, column {error.colno})"
        raise Problem(400, f"the body is not JSON: {error.msg[:200]} {place}") from None
    if not isinstance(document, dict):
        raise invalid_request(FieldError("$", "an object", json_type(document)))
    if body.count(b'"') != 2 * len(document):  # otherwise the only strings are the top-level names, each once
        _check_duplicate_names(body)
    return document


def unknown_key_errors(document: dict[str, Any], known: tuple[str, ...]) -> list[FieldError]:
    """An error for every key that the protocol does not have."""
    expected = "no key but " + ", ".join(known)
    return [FieldError(f"$[{quote_name(key)}]", expected, "an unknown key") for key in document if key not in known]


def _check_containers(body: bytes, maximum: int) -> None:
    """Refuse millions of empty lists, which take seconds and a gigabyte to parse."""
    if len(body) <= maximum or (received := body.count(b"]") + body.count(b"}")) <= maximum:
        return
    if TOO_DEEP in body:
        raise Problem(400, "the body is not JSON that can be read: it is nested more than 1,000 deep")
    raise Problem(413, f"expected at most {maximum} lists and objects in a request, received {received}")


def _check_duplicate_names(body: bytes) -> None:
    """Refuse an object that has a name twice: orjson keeps the last one."""
    errors: list[FieldError] = []

    def check(pairs: list[tuple[str, Any]]) -> None:
        if len({name for name, _ in pairs}) == len(pairs):
            return
        names = [name for name, _ in pairs]
        repeated = sorted({name for name in names if names.count(name) > 1}) if len(names) < 1000 else []
        errors.extend(
            FieldError(quote_name(name), "one value", "the name more than once in an object") for name in repeated
        )
        if not repeated:
            errors.append(FieldError("$", "each name once in an object", "a name more than once"))

    try:
        json.loads(body, object_pairs_hook=check)
    except RecursionError:
        raise Problem(400, "the body is not JSON that can be read: it is nested too deep") from None
    if errors:
        raise invalid_request(*errors)
