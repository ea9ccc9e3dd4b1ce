"""Copies of the project's settings, and changes in them."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

ROOT = Path(__file__).parent.parent


def copy_settings(folder: Path) -> Path:
    """Copy `params.yaml`, `spaces.yaml` and `catalog/` to a folder; the path of its `params.yaml`."""
    for name in ("params.yaml", "spaces.yaml"):
        shutil.copy(ROOT / name, folder)
    shutil.copytree(ROOT / "catalog", folder / "catalog", dirs_exist_ok=True)
    return folder / "params.yaml"


def change_yaml(path: Path, change: Callable[[Any], Any]) -> None:
    """Change what a YAML file holds, comments kept."""
    yaml = YAML()
    content = yaml.load(path)
    change(content)
    yaml.dump(content, path)


def override(params: Path, dataset: str, **sections: Any) -> None:
    """Let a dataset's file override these sections alone."""

    def change(entry: Any) -> None:
        for section in ("preprocess", "train", "search", "select"):
            entry.pop(section, None)
        entry.update(sections)

    change_yaml(params.parent / f"catalog/{dataset}.yaml", change)
