"""Broken settings: each mutation of `params.yaml` and of each file of `catalog/` gives one message, or is valid.

A valid file is changed as a tree of YAML or as bytes, and read by the command `summary`, which reads it as every
other command does. An audit hook of Python reports every process, file and connection.
"""

import contextlib
import copy
import io
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat
from pathlib import Path
from typing import Any
from unittest.mock import patch

from ruamel.yaml import YAML

from bench.attack.mutations import change_bytes, change_tree, limited
from bench.attack.rows import Row
from pipeline.commands.__main__ import main

ROOT = Path(__file__).parents[2]
SECONDS = 5  # seconds of computing for one file
BOMB = "\n".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9) if n else 1}]" for n in range(30))
MERGES = "\n".join(
    f"a{n}: &a{n} {{{'<<: [' + ', '.join([f'*a{n - 1}'] * 9) + ']' if n else 'x: 1'}}}" for n in range(30)
)
WHOLE: tuple[bytes, ...] = (
    b"", b"\n", b"null", b"3", b"- a", b"iris", b"\xff\xfe\x00", b"\xef\xbb\xbfa: 1", "a: 1".encode("utf-16"),
    b"a: \x00", b"a:\n\t- b", b"a: 1\na: 2", b"{" * 5000, b"a: " + b"[" * 5000 + b"]" * 5000, b"a: " + b"9" * 5000,
    b"a: 0x" + b"f" * 20_000, b"0x" + b"f" * 20_000 + b": a", b"a: 2024-13-45", b"a: 1e999999", b"? [a]\n: 1",
    b"%YAML 9.9\n---\na: 1", b"--- {}\n--- {}", b"a: &a [*a]", b"a: *b", BOMB.encode(), MERGES.encode(),
    b"a: &a\n  <<: *a", b"<<: 3", b"? &a {*a : 1}\n: 2", b"a: !!python/object/apply:os.system ['touch FILE']",
    b"a: !!python/name:os.system", b"a: !!binary '?'", b"a: !!timestamp x", b"a: !!set {b, c}", b"a: !!omap [b: 1]",
    b"!!int x: 3", b"a: !include /etc/passwd", b"a: 0o9", b"a: 1:99999999:2", b"#" * 2_000_000,
    b"a: '" + b"x" * 200_000 + b"'", b"a: |\n  b\n c", b"a: @", b"a: 'b", b"a: " + b"{a: " * 60_000,
)  # fmt: skip

NAMES = ("../../x", "/etc/passwd", "x;touch FILE;#", "$(touch FILE)", "'; touch FILE; '", "${datasets}", "IRIS", "")
LISTS = (b"iris", b"null", b"[[a]]", b"{iris: 1}")
PARAMS = (ROOT / "params.yaml").read_bytes()
# Mutations for real processes; each must be refused.
REFUSED = (
    *(re.sub(rb"- digits\n", b"- " + json.dumps(name).encode() + b"\n", PARAMS) for name in NAMES),
    *(re.sub(rb"datasets:\n(- \w+\n)+", b"datasets: " + value + b"\n", PARAMS) for value in LISTS),
    *WHOLE[:3], WHOLE[6], *(whole for whole in WHOLE if len(whole) > 4000),
)  # fmt: skip


def mutants(content: bytes, rng: random.Random) -> Iterator[bytes]:
    """Endless changes of a file: first each that replaces it, then trees and bytes in turns."""
    yield from WHOLE
    for whole in WHOLE[: len(WHOLE) // 2]:
        yield content + b"\n" + whole
    tree = YAML(typ="safe", pure=True).load(content.decode())
    while True:
        changed = copy.deepcopy(tree)
        for _ in range(rng.randrange(1, 4)):
            change_tree(changed, rng)
        text = io.StringIO()
        YAML(typ="safe", pure=True).dump(changed, text)
        yield text.getvalue().encode("utf-8", "surrogatepass")
        yield change_bytes(content, rng)


class Watch:
    """The processes, files and connections of the code under attack, from Python's audit events."""

    def __init__(self) -> None:
        self.active, self.seen = False, set[str]()
        sys.addaudithook(self._note)

    def _note(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.active:
            return
        writes = event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+")
        if writes or event.startswith(("subprocess.", "os.system", "os.exec", "os.posix_spawn", "os.fork", "os.mkdir",
                                       "os.rename", "os.remove", "shutil.", "socket.connect")):  # fmt: skip
            self.seen.add(f"{event} {arguments[:1]}")


def attack(file: str, count: int, seed: int, watch: Watch) -> list[str]:
    """The failures with `count` mutations of one file of the settings, one line each."""
    wrong: list[str] = []
    with tempfile.TemporaryDirectory(prefix="attack-") as parent:
        project = Path(parent) / "project"
        _copy(project, file)
        before, content = _files(Path(parent)), (project / file).read_bytes()
        rng = random.Random(f"{seed} {file}")
        with contextlib.chdir(project):
            for number, (_, mutant) in enumerate(zip(range(count), mutants(content, rng), strict=False)):
                Path(file).write_bytes(mutant)
                if problem := _judge(file, watch):
                    wrong.append(f"{file}, mutation {number}: {problem}: {mutant[:300]!r}")
        (project / file).write_bytes(content)
        if _files(Path(parent)) != before:
            wrong.append(f"{file}: files came or went: {sorted(_files(Path(parent)) ^ before)}")
    return wrong


def _copy(project: Path, file: str) -> None:
    """The settings with few datasets, so that a reading is fast."""
    (project / "catalog").mkdir(parents=True)
    for name in {"params.yaml", "spaces.yaml", "catalog/iris.yaml", file}:
        shutil.copy(ROOT / name, project / name)
    listed = re.sub(r"datasets:\n(- \w+\n)+", "datasets: [iris]\n", (ROOT / "params.yaml").read_text())
    (project / "params.yaml").write_text(listed)


def _files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def _judge(file: str, watch: Watch) -> str | None:
    """The failure of a command, or None if it read the settings, or refused them in one message."""
    said, refused = io.StringIO(), io.StringIO()
    watch.seen.clear()
    with (
        patch("sys.argv", ["summary", "summary"]),
        contextlib.redirect_stdout(said),
        contextlib.redirect_stderr(refused),
        limited(SECONDS),
    ):
        watch.active = True
        try:
            code = main()
        except BaseException as error:  # any exception that reaches a user as a stack trace
            return f"{type(error).__name__}: {error}"[:300]
        finally:
            watch.active = False
    return judge(code, refused.getvalue(), file) or (f"it did {sorted(watch.seen)}" if watch.seen else None)


def judge(code: int, message: str, file: str) -> str | None:
    """The problem with an exit code and a message about a broken file, or None."""
    if code == 0:
        return f"valid, but said {message[:300]}" if message else None
    first, *problems = message.splitlines() or [""]
    if code not in (1, 2) or not re.fullmatch(r"\w+: the settings have \d+ problems?, nothing was run:", first):
        return f"exit {code}: {message[:300]}"
    if any(not re.match(r"  (params|spaces|catalog/\w+)\.yaml: ", problem) for problem in problems):
        return f"a problem without its file: {message[:600]}"
    if not any(problem.startswith(f"  {file}: ") for problem in problems):
        return f"{file} is not named: {message[:600]}"
    return f"{len(message)} characters" if len(message) > 20_000 else None


def run(count: int = 500, seed: int = 1) -> list[Row]:
    """Attack each file, and give some of the mutations to real processes of `repro`."""
    paths = [ROOT / "params.yaml", ROOT / "spaces.yaml", *sorted((ROOT / "catalog").glob("*.yaml"))]
    files = [path.relative_to(ROOT).as_posix() for path in paths]
    with ProcessPoolExecutor() as pool:
        found = pool.map(_attack_alone, files, repeat(count), repeat(seed))
        rows = [Row(f"settings: {file}", count, failures) for file, failures in zip(files, found, strict=True)]
    failures = [problem for number, content in enumerate(REFUSED) if (problem := _repro(content, number))]
    return [*rows, Row("settings: processes", len(REFUSED), failures, "exit 2, one message, nothing written beside")]


def _attack_alone(file: str, count: int, seed: int) -> list[str]:
    return attack(file, count, seed, Watch())


def _repro(content: bytes, number: int) -> str | None:
    """The failure of `repro` with a broken `params.yaml`, in a folder in which DVC cannot do anything, or None."""
    with tempfile.TemporaryDirectory(prefix="attack-") as parent:
        project = Path(parent) / "project"
        _copy(project, "params.yaml")
        (project / "params.yaml").write_bytes(content)
        before = _files(Path(parent))
        command = [sys.executable, "-m", "pipeline.commands", "repro"]
        done = subprocess.run(command, cwd=project, env={**os.environ, "PYTHONPATH": str(ROOT)}, text=True,
                              capture_output=True, timeout=60, check=False)  # fmt: skip
        wrong = "exit 0" if done.returncode == 0 else judge(done.returncode, done.stderr, "params.yaml")
        wrong = wrong or (f"said {done.stdout[:300]}" if done.stdout else None)
        if _files(Path(parent)) != before:
            wrong = f"files came or went: {sorted(_files(Path(parent)) ^ before)}"
    return wrong and f"process {number}: {wrong}"
