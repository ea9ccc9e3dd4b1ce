"""The code and the packages that a result depends on."""

import functools
import subprocess
from importlib.metadata import version


@functools.cache
def git_revision() -> str:
    """The commit, with `-dirty` if tracked files differ from it; `unknown` outside a repository."""
    described = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"], capture_output=True, text=True
    )
    return described.stdout.strip() or "unknown"


def versions(*packages: str) -> dict[str, str]:
    """The installed version of each package."""
    return {package: version(package) for package in packages}
