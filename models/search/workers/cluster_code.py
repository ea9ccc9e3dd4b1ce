"""The code and packages that decide how a trial is trained and a row is hashed. A worker must have the same ones."""

import hashlib
import sys
from pathlib import Path

from distributed.versions import get_package_info

import models
from contracts.files import md5

CODE = ("contracts", "models", "pipeline/data", "pipeline/sources", "pipeline/streaming")
PACKAGES = ("tensorflow", "keras", "numpy", "pandas", "pyarrow", "pydantic", "distributed")
SHOWN = 5  # differences in a message


def versions() -> dict[str, str | None]:
    """Our files by their MD5, Python and packages by their version."""
    root = Path(models.__file__).parent.parent
    files = sorted(path for folder in CODE for path in (root / folder).rglob("*.py"))
    packages = get_package_info(PACKAGES) | {"python": f"{sys.version_info.major}.{sys.version_info.minor}"}
    return {str(path.relative_to(root)): md5(path) for path in files} | packages


def resource() -> str:
    """The Dask resource that a worker with these versions offers, so that the scheduler gives trials to no other."""
    return f"trials-{hashlib.sha256(repr(sorted(versions().items())).encode()).hexdigest()[:12]}"


def why_refused(theirs: dict[str, str | None] | Exception, make_worker: str) -> str:
    """Why a worker with these versions gets no tasks, and what to do."""
    if isinstance(theirs, Exception):
        return f"it cannot import this project ({theirs}); start it with `{make_worker}`"
    ours = versions()
    different = sorted(name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name))
    if not different:
        return f"it was not started by `{make_worker}`"
    shown = [name if "/" in name else f"{name} {theirs.get(name)}, here {ours.get(name)}" for name in different]
    names = "; ".join(shown[:SHOWN]) + (f" and {len(shown) - SHOWN} more" if len(shown) > SHOWN else "")
    return f"it has another version of {names}; check out the same commit there and `make setup`"
