"""The settings of one dataset from two files, and the file that a mistake is in."""

from collections.abc import Mapping
from typing import Any

from contracts.settings.reading import Content
from contracts.settings.sections import Settings
from contracts.settings.validation import Place


def merged(params: Content, entry: Content, spaces: Content) -> Content:
    """The sections of `params.yaml` with the overrides of a file of `catalog/` laid over them, key by key.

    In `search.space` each hyperparameter is a key. The name of a space stands for the space in `spaces.yaml`, and
    replaces the whole space of `params.yaml`.
    """
    sections = {name: _over(params[name], entry.get(name)) for name in Settings.model_fields if name in params}
    sections |= {"data": entry["data"]} if "data" in entry else {}
    if isinstance(sections.get("search"), dict):
        space: Any = None
        for layer in (params, entry):
            search = layer.get("search")
            if isinstance(search, Mapping) and "space" in search:
                change = search["space"]
                named = isinstance(change, str) and change in spaces
                space = spaces[change] if named else _over(space, change) if isinstance(change, Mapping) else change
        sections["search"]["space"] = space
    return sections


def where(place: Place, files: Mapping[str, Content]) -> str:
    """`file: section.key` for a place in merged settings: the file that has most of the place, or the first of two
    equal ones.
    """
    return max((_key(place, file, content) for file, content in files.items()), key=lambda found: found[0])[1]


def _key(place: Place, file: str, content: Content) -> tuple[int, str]:
    """How many parts of a place a file has, and the place as a message names it. Below a hyperparameter, or a key of
    another section, files are not merged: one file holds everything there.
    """
    node: Any = content
    merged_parts = 3 if place[:2] == ("search", "space") else 2
    for depth, part in enumerate(place):
        if isinstance(node, str):  # the name of a search space, which holds the rest
            return merged_parts, f"{file}: {_dotted(place[:depth])}: {node}.{_dotted(place[depth:])}"
        try:
            node = node[part]
        except (KeyError, IndexError, TypeError):
            return min(depth, merged_parts), f"{file}: {_dotted(place)}"
    return min(len(place), merged_parts), f"{file}: {_dotted(place)}"


def _dotted(place: Place) -> str:
    return ".".join(str(part) for part in place)


def _over(base: Any, change: Any) -> Any:
    """A mapping, updated by another one."""
    return {**base, **change} if isinstance(base, Mapping) and isinstance(change, Mapping) else base or change
