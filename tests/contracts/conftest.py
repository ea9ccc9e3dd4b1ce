"""Params with a space of the test's own."""

from pathlib import Path

import pytest
from ruamel.yaml import YAML

from contracts.errors import UserError
from contracts.settings.load import load_params

REAL = Path(__file__).parents[2] / "params.yaml"


@pytest.fixture
def load(tmp_path):
    """Params of iris with some hyperparameters, and settings of the search, changed."""

    def changed(search=None, **space):
        document = YAML(typ="safe", pure=True).load(REAL.read_text())
        document["overrides"]["iris"]["search"] = {**(search or {}), "space": space}
        path = tmp_path / "params.yaml"
        with path.open("w") as file:
            YAML().dump(document, file)
        return load_params(path, "iris")

    changed.error = UserError
    return changed
