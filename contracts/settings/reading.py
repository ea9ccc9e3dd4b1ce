"""The files of the settings, read as DVC reads them. A file that cannot be read gives a problem of one line."""

import re
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import CollectionNode, MappingNode

from contracts.errors import Problem, show

Content = dict[str, Any]
DATASET_NAME = re.compile(r"[a-z0-9_]{1,64}")
MOST_BYTES = 2**18  # bytes of a file; they take 3 s to parse, and params.yaml has 5,000
MOST_VALUES = 100_000  # values of a file with each alias written out


@dataclass
class SettingsFiles:
    """`params.yaml`, `spaces.yaml` and each file of `catalog/` by its dataset's name.

    A file that cannot be read is None, and has its line among the problems. A file that is not asked for is None.
    """

    params: Content | None
    spaces: Content | None
    catalog: dict[str, Content | None]
    problems: list[Problem] = field(default_factory=list)


def read_files(params: Path, only: Collection[str] | None = None) -> SettingsFiles:
    """Read `params.yaml` and what lies beside it; of `catalog/` all files, or `only` those of some datasets."""
    problems: list[Problem] = []

    def read(path: Path) -> Content | None:
        content = read_mapping(path, path.relative_to(params.parent).as_posix())
        if isinstance(content, Problem):
            problems.append(content)
            return None
        return content

    files = SettingsFiles(read(params), read(params.with_name("spaces.yaml")), {}, problems)
    for path in sorted(params.with_name("catalog").glob("[!.]*.y*ml")):
        if DATASET_NAME.fullmatch(path.stem) and path.suffix == ".yaml":
            files.catalog[path.stem] = read(path) if only is None or path.stem in only else None
        elif only is None or path.stem in only:
            expected = "a file name of up to 64 of the characters a-z, 0-9 and _, then .yaml"
            problems.append(Problem(f"catalog/{path.name}", expected, repr(path.name)))
    return files


def read_mapping(path: Path, name: str) -> Content | Problem:
    """The mapping in a file, or the problem of the file, which the message calls `name`."""
    if path.is_fifo():
        return Problem(name, "a file that can be read", "a pipe")
    try:
        with path.open("rb") as file:
            text = file.read(MOST_BYTES + 1)
        if len(text) > MOST_BYTES:
            return Problem(name, f"at most {MOST_BYTES // 1024} KiB", "more")
        content = _parse(text.decode("utf-8"))
    except OSError as error:
        return Problem(name, "a file that can be read", error.strerror or str(error))
    except UnicodeDecodeError as error:
        return Problem(name, "UTF-8", f"other bytes at position {error.start}")
    except YAMLError as error:
        return Problem(name, "valid YAML", _mistake(error))
    except RecursionError:
        return Problem(name, "a few levels of nesting", "too many")
    except (ValueError, TypeError) as error:  # a number of thousands of digits, a date that does not exist
        return Problem(name, "values that can be read", str(error).partition(";")[0])
    if not isinstance(content, dict):
        return Problem(name, "a mapping of sections", show(content))
    return content


def _parse(text: str) -> Any:
    """Safe and pure: no tags, duplicate keys refused, YAML 1.2 numbers as DVC reads them."""
    if re.search(r"([\[{]\s*){50}", text):  # the parser would take seconds for it
        raise RecursionError
    if re.search(r"0[xob][0-9a-fA-F_]{300}", text):  # Python reads it as a number that it cannot print
        raise ValueError("a number of hundreds of digits")
    if "&" in text:  # an anchor: a page with a few of them can stand for more values than memory holds
        _count_values(YAML(typ="safe", pure=True).compose(text), {})
    return YAML(typ="safe", pure=True).load(text)


def _count_values(node: Any, counts: dict[int, int]) -> int:
    """How many values a node has, with each alias written out; ValueError if they are too many or endless."""
    if id(node) not in counts:
        counts[id(node)] = MOST_VALUES  # until the number is known; a node that contains itself is then over the limit
        inner = node.value if isinstance(node, CollectionNode) else []
        parts = [part for pair in inner for part in pair] if isinstance(node, MappingNode) else inner
        counts[id(node)] = 1 + sum(_count_values(part, counts) for part in parts)
    if counts[id(node)] > MOST_VALUES:
        raise ValueError(f"aliases that make more than {MOST_VALUES:,} values")
    return counts[id(node)]


def _mistake(error: YAMLError) -> str:
    """The parser's message in one line, with its place in the file."""
    if not isinstance(error, MarkedYAMLError) or error.problem_mark is None:
        return str(error).splitlines()[0]
    what = str(error.problem).splitlines()[0]
    if isinstance(error, DuplicateKeyError):
        what = what.partition(" with value ")[0]
    return f"{what} in line {error.problem_mark.line + 1}"
