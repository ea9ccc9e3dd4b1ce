"""The files of figures, with the machine on which they are measured."""

import json
import os
import platform
from pathlib import Path
from typing import Any

from contracts.files import write_atomically
from pipeline.tracking import provenance


def machine(*packages: str) -> dict[str, Any]:
    """Cores, load, and versions of Python and of packages; by default the packages that train."""
    packages = packages or ("tensorflow", "keras", "numpy", "scikit-learn")
    return {
        "cores": provenance.cores(),
        "processor": platform.machine(),
        "load": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
        **provenance.versions(*packages),
    }


def read(path: Path) -> dict[str, Any]:
    """The figures of an earlier run; nothing where there are none."""
    return json.loads(path.read_text()) if path.exists() else {}


def write(path: Path, report: dict[str, Any]) -> None:
    """Write figures; after each part of a measurement, so that an interruption loses little."""
    with write_atomically(path) as unfinished:
        unfinished.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
