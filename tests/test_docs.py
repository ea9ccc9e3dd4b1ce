"""What the papers say is there, is there."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAPERS = [ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md")] + sorted(ROOT.glob("docs/**/*.md"))
TARGETS = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))


@pytest.mark.parametrize("paper", PAPERS, ids=lambda paper: str(paper.relative_to(ROOT)))
def test_every_make_target_that_is_named_exists(paper: Path) -> None:
    assert set(re.findall(r"\bmake ([a-z][a-z-]*)", paper.read_text())) <= TARGETS


@pytest.mark.parametrize("paper", PAPERS, ids=lambda paper: str(paper.relative_to(ROOT)))
def test_every_file_that_is_linked_exists(paper: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)\)", paper.read_text())
    assert [link for link in links if "://" not in link and not (paper.parent / link).exists()] == []


def test_make_alone_lists_every_target() -> None:
    command = ["make", "--no-print-directory"]  # which it would say where the tests are run by make
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert {line.split()[0] for line in listed.splitlines()[1:]} == TARGETS


def test_every_variable_that_settings_read_is_documented() -> None:
    code = "".join(path.read_text() for package in ("pipeline", "serving") for path in (ROOT / package).rglob("*.py"))
    variables = set(re.findall(r"\b(SERVING_[A-Z_]+|OPTUNA_STORAGE|DATA_MIRROR|MLFLOW_TRACKING_URI)\b", code))
    papers = "".join(paper.read_text() for paper in PAPERS)
    assert {name for name in variables if name not in papers} == set()
