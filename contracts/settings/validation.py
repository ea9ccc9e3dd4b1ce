"""Pydantic's errors as places in the settings, with what was expected and what was received there."""

import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, TypeVar

from pydantic import ValidationError

from contracts.errors import Problem, nearest, show
from contracts.settings.sections import Params, Settings

M = TypeVar("M", bound=Settings)
Place = tuple[str | int, ...]


class Mistake(NamedTuple):
    """A problem whose place is not yet the key of a file."""

    place: Place
    expected: str
    received: str = ""

    def at(self, where: str) -> Problem:
        return Problem(where, self.expected, self.received)


def validate(model: type[M], values: Mapping[str, Any]) -> M | list[Mistake]:
    """The settings that the values make, or every mistake in them."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        items = error.errors()
    # Each part of a union has an error of its own: `workers: many` is neither `auto` nor a number.
    parts: dict[tuple[Place, str], list[Any]] = {}
    for item in items:
        parts.setdefault((_place(item, values), show(item["input"])), []).append(item)
    return [_translate(place, of_one, values) for (place, _), of_one in parts.items()]


def unknown_key(key: object, known: Iterable[str]) -> tuple[str, str]:
    """The problem of an unknown key."""
    known = sorted(known)
    hint = nearest(key, known)
    return "a known key" if hint else f"one of {', '.join(known)}", f"{show(key)}{hint}"


def _translate(place: Place, items: list[Any], values: Mapping[str, Any]) -> Mistake:
    """One or more errors about the same value."""
    first, names, words = items[0], [], []
    for item in items:
        context = item.get("ctx", {})
        match item["type"]:
            case "missing":
                return Mistake(place, "a value", "none")
            case "value_error":
                return Mistake(place, str(context["error"]))
            case "extra_forbidden" | "invalid_key":
                return Mistake(place, *unknown_key(place[-1], _keys_at(place[:-1], values)))
            case "literal_error" | "union_tag_invalid":
                names += re.findall(r"'([^']*)'", str(context.get("expected", context.get("expected_tags"))))
            case "union_tag_not_found":
                words.append("a mapping with the key type")
            case _:
                words.append(item["msg"].removeprefix("Input should be "))
    if names:
        words.insert(0, names[0] if len(names) == 1 else f"one of {', '.join(names)}")
    received = first.get("ctx", {}).get("tag", first["input"])
    return Mistake(place, " or ".join(words), show(received) + nearest(received, names))


def _place(item: Any, values: Mapping[str, Any]) -> Place:
    """The keys that lead to an error, without pydantic's names for the parts of a union."""
    node: Any = values
    place: list[str | int] = []
    for part in item["loc"]:
        if (isinstance(node, Mapping) and part in node) or (isinstance(node, list | tuple) and isinstance(part, int)):
            node = node[part]
        elif item["type"] != "missing" or part != item["loc"][-1]:
            continue
        place.append(part)
    return tuple(place)


def _keys_at(place: Place, values: Any) -> set[str]:
    """The keys that the settings may have at a place; for a pruner or a distribution, the keys of its `type`."""
    schema = Params.model_json_schema()
    nodes = _alternatives(schema, schema)
    for part in place:
        values = values[part]
        inner = [node.get("properties", {}).get(part) or node.get("additionalProperties") for node in nodes]
        nodes = [found for node in inner if isinstance(node, dict) for found in _alternatives(node, schema)]
    possible = [node["properties"] for node in nodes if "properties" in node]
    named = [
        p for p in possible if "type" in p and values.get("type") in p["type"].get("enum", [p["type"].get("const")])
    ]
    return {key for properties in named or possible for key in properties}


def _alternatives(node: dict[str, Any], schema: dict[str, Any]) -> list[dict[str, Any]]:
    """A node of a JSON schema without references: itself, or each part of a union."""
    if "$ref" in node:
        return _alternatives(schema["$defs"][node["$ref"].rpartition("/")[2]], schema)
    parts = node.get("anyOf") or node.get("oneOf")
    return [found for part in parts for found in _alternatives(part, schema)] if parts else [node]
