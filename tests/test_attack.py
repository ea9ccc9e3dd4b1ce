"""A short part of `make attack`: broken settings, files and bodies end in one message each, from another seed."""

import subprocess
import sys

import pytest

from bench.attack import parsers, settings
from bench.attack.__main__ import main as attack


@pytest.fixture(scope="module")
def watch() -> settings.Watch:
    return settings.Watch()


@pytest.mark.parametrize(
    "file", ["params.yaml", "spaces.yaml", "catalog/digits.yaml", "catalog/california_housing.yaml"]
)
def test_broken_settings_end_in_one_message(watch: settings.Watch, file: str) -> None:
    assert settings.attack(file, 45, 7, watch) == []


def test_the_attack_sees_what_code_does(watch: settings.Watch, tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    def careless(*_: object) -> int:
        subprocess.run([sys.executable, "-c", ""], check=True)
        (tmp_path / "file").write_text("x")
        return 0

    monkeypatch.setattr(settings, "main", careless)
    (failure,) = settings.attack("params.yaml", 1, 7, watch)
    assert "it did" in failure
    assert "subprocess.Popen" in failure
    assert "open" in failure


@pytest.mark.parametrize(
    ("code", "message", "wrong"),
    [
        (2, "", "exit 2"),
        (3, "repro: the settings have 1 problem, nothing was run:\n  params.yaml: x", "exit 3"),
        (2, "Traceback", "exit 2"),
        (2, "repro: the settings have 1 problem, nothing was run:\n  x", "a problem without its file"),
        (2, "repro: the settings have 1 problem, nothing was run:\n  spaces.yaml: x", "params.yaml is not named"),
        (2, "repro: the settings have 1 problem, nothing was run:\n  params.yaml: x", None),
        (0, "", None),
    ],
)
def test_the_attack_judges_messages(code: int, message: str, wrong: str | None) -> None:
    assert (settings.judge(code, message, "params.yaml") or "").startswith(wrong or "")
    assert (settings.judge(code, message, "params.yaml") is None) == (wrong is None)


def test_broken_files_and_bodies_end_in_the_errors_that_are_declared() -> None:
    files, bodies = parsers.run(seconds=2, seed=7)
    assert files.failures + bodies.failures == []
    assert files.cases > 50
    assert bodies.cases > 100


def test_an_unknown_part_of_the_attack_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["attack", "nope"])
    with pytest.raises(SystemExit, match=r"^PART: expected one of service, settings, parsers, received .nope.$"):
        attack()
