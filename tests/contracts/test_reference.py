"""The generated reference of the settings is current, and true."""

import json

import jsonschema_rs
import pytest
from ruamel.yaml import YAML

from contracts.settings.reference import documents
from tests.settings_files import ROOT

PARAMS = (ROOT / "params.yaml").read_text()


@pytest.fixture(scope="module")
def generated() -> dict[str, str]:
    return documents(PARAMS)


def test_the_files_are_current(generated) -> None:
    for name, text in generated.items():
        assert (ROOT / name).read_text() == text, f"run `make settings-reference`: {name} is of other settings"


def test_every_key_has_a_comment_and_is_in_the_table(generated) -> None:
    content = YAML(typ="safe", pure=True).load(PARAMS)
    table = generated["docs/reference/parameters.md"]
    keys = [key for name, section in content.items() if name != "datasets" for key in section]
    assert len(keys) > 30
    for line in PARAMS.splitlines():
        assert not line.startswith("  ") or "  # " in line or " # " in line, line
    for key in [*keys, *(f"space.{name}" for name in content["search"]["space"])]:
        assert f"| `{key}` | " in table


@pytest.mark.parametrize("name", ["params", "catalog"])
def test_an_editor_accepts_the_settings_and_marks_an_unknown_key(generated, name: str) -> None:
    schema = jsonschema_rs.validator_for(json.loads(generated[f"docs/reference/{name}.schema.json"]))
    for path in [ROOT / "params.yaml"] if name == "params" else sorted((ROOT / "catalog").glob("*.yaml")):
        content = YAML(typ="safe", pure=True).load(path)
        assert [error.message for error in schema.iter_errors(content)] == []
        for section in ("train", "search"):
            wrong = {**content, section: {**content.get(section, {}), "epoks": 3}}
            assert "epoks" in " ".join(error.message for error in schema.iter_errors(wrong))
        wrong = {**content, "search": {**content.get("search", {}), "space": {"activation": "rleu"}}}
        assert not schema.is_valid(wrong)


def test_each_file_names_its_schema_for_editors() -> None:
    for path in [ROOT / "params.yaml", *(ROOT / "catalog").glob("*.yaml")]:
        first = path.read_text().partition("\n")[0]
        prefix, _, target = first.partition("$schema=")
        assert prefix == "# yaml-language-server: "
        assert (path.parent / target).resolve().parent == ROOT / "docs/reference"
        assert (path.parent / target).exists()
