"""What is said about settings that a test has spoiled."""

from pathlib import Path

import pytest

from contracts.errors import UserError
from contracts.settings.load import load_datasets
from tests.settings_files import change_yaml


def put(path: Path, where: str, value: object) -> None:
    """Set one key of a YAML file."""

    def change(content) -> None:
        *parents, key = where.split(".")
        for parent in parents:
            content = content.setdefault(parent, {})
        content[key] = value

    change_yaml(path, change)


def problems(params: Path, *only: str) -> list[str]:
    """What is said about all settings, or those of some datasets, a line for each problem."""
    with pytest.raises(UserError, match="nothing was run") as refusal:
        load_datasets(params, only or None)
    first, *lines = str(refusal.value).splitlines()
    count = "1 problem" if len(lines) == 1 else f"{len(lines)} problems"
    assert first == f"the settings have {count}, nothing was run:"
    return [line.strip() for line in lines]
