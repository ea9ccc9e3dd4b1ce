"""The documents name only what exists: make targets, files, symbols, links, variables."""

import ast
import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DOCUMENTS = [ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md")] + sorted(
    ROOT.glob("docs/**/*.md")
)
TARGETS = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text()
FENCED = re.compile(r"^ *```.*?^ *```", re.MULTILINE | re.DOTALL)
# `folder/file.py`, `folder/file.py:name` or `file.yaml`; what contains <name> is written by a run.
PLACE = re.compile(r"`([\w./-]+\.(?:py|yaml)|[\w-]+(?:/[\w-]+)*/)(?::([\w.]+))?`")


def code_in(text: str) -> str:
    """The code blocks and code spans of a Markdown text, without its prose."""
    return "\n".join(FENCED.findall(text) + re.findall(r"`([^`\n]+)`", FENCED.sub("", text)))


def names_defined_in(file: Path) -> set[str]:
    """Functions, classes, methods (as `Class.method`) and variables at the top of a Python file."""
    names = set()
    for node in ast.parse(file.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
            names |= {f"{node.name}.{inner.name}" for inner in node.body if isinstance(inner, ast.FunctionDef)}
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names |= {target.id for target in targets if isinstance(target, ast.Name)}
    return names


def stale_places(text: str) -> list[str]:
    """The code spans that name a file that is missing, or a name that its file does not define."""
    stale = []
    for path, name in PLACE.findall(text):
        if not (ROOT / path).exists():
            stale.append(f"{path} does not exist")
        elif name and name not in names_defined_in(ROOT / path):
            stale.append(f"{path} does not define {name}")
    return stale


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_make_target_in_code_exists(document: Path) -> None:
    assert set(re.findall(r"\bmake ([a-z][a-z-]*)", code_in(document.read_text()))) <= TARGETS


def test_prose_about_what_we_make_is_no_target() -> None:
    text = "We make models.\n\n```\nmake repro  # and\n```\nCall `make ui` to make sure.\n"
    assert re.findall(r"make \w+", code_in(text)) == ["make repro", "make ui"]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_linked_file_exists(document: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)\)", document.read_text())
    assert [link for link in links if "://" not in link and not (document.parent / link).exists()] == []


def test_every_picture_is_shown_and_small() -> None:
    pictures = list((ROOT / "docs/images").iterdir())
    shown = "\n".join(document.read_text() for document in [ROOT / "README.md", *ROOT.glob("docs/**/*.md")])
    assert [path.name for path in pictures if f"images/{path.name})" not in shown] == []
    assert {path.name: path.stat().st_size for path in pictures if path.stat().st_size > 150_000} == {}


def test_every_document_that_code_names_exists() -> None:
    files = [*ROOT.glob("*.toml"), ROOT / "Makefile", *ROOT.glob("deploy/*")]
    for package in ("contracts", "models", "serving", "pipeline", "bench"):
        files += (ROOT / package).rglob("*.py")
    named = {(file.name, path) for file in files for path in re.findall(r"\bdocs/[\w./-]+\.md", file.read_text())}
    assert named
    assert {(file, path) for file, path in named if not (ROOT / path).exists()} == set()


def test_the_architecture_page_names_only_what_exists() -> None:
    stale = {line: found for line in ARCHITECTURE.splitlines() if (found := stale_places(line))}
    assert not stale, f"docs/architecture.md is stale: {stale}"


def test_the_architecture_page_answers_ten_questions_with_files() -> None:
    questions = re.findall(r"^\| (Where .*?\?) \| (.*) \|$", ARCHITECTURE, re.MULTILINE)
    assert len(questions) == 10
    assert [question for question, answer in questions if not PLACE.search(answer)] == []


def test_the_index_of_decisions_lists_every_page_once() -> None:
    folder = ROOT / "docs" / "decisions"
    rows = re.findall(r"^\| (\d+) \| \[.*?\]\((\d{4})(-[\w-]+\.md)\)", (folder / "README.md").read_text(), re.MULTILINE)
    assert [number + rest for _, number, rest in rows] == sorted(page.name for page in folder.glob("0*.md"))
    assert all(int(shown) == int(number) for shown, number, _ in rows)


def test_make_alone_lists_every_target() -> None:
    command = ["make", "--no-print-directory"]  # make prints the directory where another make runs the tests
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert {line.split()[0] for line in listed.splitlines()[1:]} == TARGETS


def test_make_lets_processes_write_bytecode() -> None:
    command = ["make", "--no-print-directory", "--eval", "show: ; @env", "show"]
    variables = os.environ | {"PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, check=True)
    assert "PATH=" in done.stdout
    assert "PYTHONDONTWRITEBYTECODE" not in done.stdout


def test_every_variable_that_settings_read_is_documented() -> None:
    code = "".join(path.read_text() for package in ("pipeline", "serving") for path in (ROOT / package).rglob("*.py"))
    variables = set(re.findall(r"\b(SERVING_[A-Z_]+|OPTUNA_STORAGE|DATA_MIRROR|MLFLOW_TRACKING_URI)\b", code))
    documents = "".join(document.read_text() for document in DOCUMENTS)
    assert {name for name in variables if name not in documents} == set()


def test_a_set_up_empties_no_folder_behind_a_link(tmp_path: Path) -> None:
    for name in ("Makefile", "requirements.lock"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "elsewhere/bin").mkdir(parents=True)
    python = tmp_path / "elsewhere/bin/python3"  # the first on PATH, as in an environment that is there already
    python.write_text(f'#!/bin/sh\n[ "$1" != -m ] || {{ touch {tmp_path}/called; exit 1; }}\n')
    python.chmod(0o755)
    (tmp_path / ".venv").symlink_to("elsewhere")
    run = subprocess.run(["make", "setup"], cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode != 0
    assert not (tmp_path / "called").exists()
    assert "expected .venv as a folder of its own" in run.stderr
