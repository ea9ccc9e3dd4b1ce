"""Random changes of documents and of bytes, from a seed."""

import contextlib
import copy
import random
import signal
from collections.abc import Iterator
from typing import Any

VALUES: list[Any] = [
    None, True, False, 0, -1, 3, 1.5, 2**31, 2**63, 10**30, -(10**4000), 1e-300, 1e308, float("nan"), float("inf"), "",
    " ", "iris", "auto", "none", "null", "~", "a\nb", "é\u2028\x07", "x" * 10_000, "../../x", "/etc/passwd",
    "x;touch FILE;#", "$(touch FILE)", "`touch FILE`", "'; touch FILE; '", "${datasets}", "-x", "--help", "%s%n{0}",
    [], [[]], [None], [1, "a", {}], {}, {"": ""}, {1: 2}, {"type": "int", "low": 1, "high": 2**53},
    {"type": "float", "low": 0.0, "high": 1e300, "step": 1e-300}, {"type": "categorical", "choices": []},
    {"type": "int", "low": 1, "high": 9, "when": {"depth": [1, "a", None]}}, {"a": {"b": {"c": [1, 2]}}},
]  # fmt: skip
SIGNS = [*b": - { } [ ] &a *a ! | > ' % @ # ?".split(), b'"', b"\t", b"\n"]


def change_tree(tree: Any, rng: random.Random) -> None:
    """Replace, remove, rename, add or move one value of a mapping or a list somewhere in the tree."""
    nodes = [tree]
    for node in nodes:
        nodes += [v for v in (node.values() if isinstance(node, dict) else node) if isinstance(v, dict | list) and v]
    node, other = rng.choice(nodes), rng.choice(nodes)
    keys = list(node) if isinstance(node, dict) else list(range(len(node)))
    if not keys:
        return
    key, value = rng.choice(keys), copy.deepcopy(rng.choice([*VALUES, other]))
    match rng.randrange(5):
        case 0 | 1:
            node[key] = value
        case 2:
            del node[key]
        case 3 if isinstance(node, dict):
            node[rng.choice([3, None, "", f"{key}s", "<<", *[v for v in VALUES if isinstance(v, str)]])] = node.pop(key)
        case _ if isinstance(node, dict):
            node[rng.choice(["type", "files", "when", "default", "space", "image", "task"])] = value
        case _:
            node.append(value)


def change_bytes(content: bytes, rng: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(rng.randrange(1, 6)):
        at = rng.randrange(len(changed) + 1)
        inserted = rng.choice([rng.randbytes(rng.randrange(3)), rng.choice(SIGNS)])
        changed[at : at + rng.randrange(4)] = inserted
    return bytes(changed)


@contextlib.contextmanager
def limited(seconds: float) -> Iterator[None]:
    """End a computation that takes longer, with TimeoutError."""

    def end(*_: Any) -> None:
        raise TimeoutError(f"no end after {seconds:g} s of computing")

    before = signal.signal(signal.SIGVTALRM, end)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
