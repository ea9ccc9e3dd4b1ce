"""Set keys in a YAML file that a person wrote, without changing any other byte."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.error import YAMLError

from contracts.errors import UserError
from contracts.files import write_atomically

Scalar = int | float | None


def set_keys(path: Path, section: str, values: Mapping[str, Scalar]) -> None:
    """Set keys of one section, which is added if it is absent.

    The parser says where a key is, and the text is changed there. ruamel.yaml's own output would fold lists and long
    lines anew, and write nulls as blanks.

    Raises:
        UserError: if the text cannot be changed in this way, for example for a section that is an alias; the file stays
            as it is.
    """
    before = path.read_bytes().decode("utf-8")
    wanted = _read(before)
    wanted[section] = {**(wanted.get(section) or {}), **values}
    text = before
    try:
        for key, value in reversed(list(values.items())):
            text = _with_key(text, section, key, "null" if value is None else str(value))
        fits = _read(text) == wanted
    except YAMLError:
        fits = False
    if not fits:
        keys = ", ".join(f"{key}: {'null' if value is None else value}" for key, value in values.items())
        raise UserError(
            f"{path}: expected a section `{section}` with a line for each key; write {{{keys}}} there yourself"
        )
    if text != before:
        with write_atomically(path) as unfinished:
            unfinished.write_bytes(text.encode("utf-8"))


def _read(text: str) -> dict[str, Any]:
    return YAML(typ="safe", pure=True).load(text)


def _with_key(text: str, section: str, key: str, value: str) -> str:
    content, lines = YAML().load(text), text.splitlines(keepends=True)
    inside = content.get(section)
    if isinstance(inside, CommentedMap) and key in inside:
        row, column = inside.lc.key(key)
        head, tail = lines[row][:column], lines[row][column:]
        lines[row] = head + re.sub(r"^([^:]+:)([ \t]*)[^\s,}#]*", rf"\1 {value}", tail, count=1)
    elif isinstance(inside, CommentedMap) and (not inside or inside.fa.flow_style()):
        row, column = inside.lc.line, inside.lc.col + 1
        rest = lines[row][column:]
        lines[row] = f"{lines[row][:column]}{key}: {value}{', ' if inside else ''}{rest}"
    elif isinstance(inside, CommentedMap):
        row, column = inside.lc.key(next(iter(inside)))
        lines.insert(row, f"{' ' * column}{key}: {value}\n")
    elif section in content:
        lines.insert(content.lc.key(section)[0] + 1, f"  {key}: {value}\n")
    else:
        end = "" if text.endswith("\n") else "\n"
        lines.append(f"{end}{section}:\n  {key}: {value}\n")
    return "".join(lines)
