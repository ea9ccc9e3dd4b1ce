"""The part of the code that travels with a bundle, into a Bento or an MLflow model."""

import shutil
from pathlib import Path


def copy_code(modules: tuple[str, ...], target: Path) -> list[Path]:
    """Copy modules, with their packages' folders, below `target`; return the packages' folders."""
    for module in modules:
        (target / module).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(module, target / module)
    return sorted({target / Path(module).parts[0] for module in modules})
