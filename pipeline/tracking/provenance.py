"""What a result depends on: the revision of the code, the versions of packages, the cores of the machine."""

import functools
import os
import subprocess
from importlib.metadata import version


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@functools.cache
def git_revision() -> str:
    """The commit, with `-dirty` where tracked files differ from it; `unknown` outside a repository."""
    described = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"], capture_output=True, text=True
    )
    return described.stdout.strip() or "unknown"


def versions(*packages: str) -> dict[str, str]:
    """The installed version of each package."""
    return {package: version(package) for package in packages}
