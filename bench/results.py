"""The files of figures in `bench/results`."""

import json
from pathlib import Path
from typing import Any

from contracts.files import write_atomically


def read(path: Path) -> dict[str, Any]:
    """The figures of an earlier run; empty without one."""
    return json.loads(path.read_text()) if path.exists() else {}


def write(path: Path, report: dict[str, Any]) -> None:
    """Write figures. Call it after each part of a measurement, so that an interruption loses little."""
    with write_atomically(path) as unfinished:
        unfinished.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
