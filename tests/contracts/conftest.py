"""Params with a space of the test's own."""

from pathlib import Path

import pytest

from contracts.errors import UserError
from contracts.settings.load import load_params
from tests.settings_files import copy_settings, override


@pytest.fixture
def load(tmp_path):
    """Params of iris with some hyperparameters, and settings of the search, changed."""

    def changed(search=None, **space):
        path = copy_settings(tmp_path)
        override(path, "iris", search={**(search or {}), "space": space})
        return load_params(path, "iris")

    changed.error = UserError
    return changed


@pytest.fixture
def params(tmp_path: Path) -> Path:
    """A copy of the settings, which a test may spoil."""
    return copy_settings(tmp_path)


@pytest.fixture
def iris(params: Path) -> Path:
    return params.parent / "catalog/iris.yaml"
