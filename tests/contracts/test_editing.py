"""A key is set in a file as a person would set it: no other byte changes."""

from pathlib import Path

import pytest

from contracts.errors import UserError
from contracts.settings.editing import set_keys


@pytest.fixture
def edited(tmp_path: Path):
    def edit(text: str, **values) -> str:
        path = tmp_path / "iris.yaml"
        path.write_bytes(text.encode())
        set_keys(path, "search", values)
        assert [file.name for file in tmp_path.iterdir()] == ["iris.yaml"]
        return path.read_bytes().decode()

    return edit


HEAD = "# first\ndata: {source: csv,   task: binary}  # second\n"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", "search:\n  n_trials: 50\n  timeout: null\n"),
        ("search:\n", "search:\n  n_trials: 50\n  timeout: null\n"),
        ("search:\n  # keep: 2\ntrain: {}\n", "search:\n  n_trials: 50\n  timeout: null\n  # keep: 2\ntrain: {}\n"),
        ("search: {}\n", "search: {n_trials: 50, timeout: null}\n"),
        ("search: {keep: 2}\n", "search: {n_trials: 50, timeout: null, keep: 2}\n"),
        ("search: { n_trials: 8,timeout: 60.5 }  # x\n", "search: { n_trials: 50,timeout: null }  # x\n"),
        ("search:\n    keep: 2\n", "search:\n    n_trials: 50\n    timeout: null\n    keep: 2\n"),
        (
            "search:\n  space: {a: [1,\n     2]}\n  n_trials: 8   # few\n  timeout: ~\ntrain:\n  epochs:   3\n",
            "search:\n  space: {a: [1,\n     2]}\n  n_trials: 50   # few\n  timeout: null\ntrain:\n  epochs:   3\n",
        ),
        ("search:\n  timeout:\n  'n_trials' : null\n", "search:\n  timeout: null\n  'n_trials' : 50\n"),
        ("search:\r\n  n_trials: 8\r\n  timeout: 1\r\n", "search:\r\n  n_trials: 50\r\n  timeout: null\r\n"),
    ],
)
def test_only_the_keys_change(edited, before: str, after: str) -> None:
    assert edited(HEAD + before, n_trials=50, timeout=None) == HEAD + after


def test_a_file_that_ends_without_a_line_break_gets_one(edited) -> None:
    assert edited("data: {}", timeout=0.5) == "data: {}\nsearch:\n  timeout: 0.5\n"


@pytest.mark.parametrize(
    "text",
    ["t: &t {n_trials: 1}\nsearch: *t\n", "{data: {}, train: {}}\n", "search: null\n", "search:\n  n_trials:\n    8\n"],
    ids=["an alias", "one mapping in braces", "null", "a value on a line of its own"],
)  # fmt: skip
def test_a_text_that_cannot_be_changed_so_is_left_with_a_word_what_to_write(tmp_path, text: str) -> None:
    path = tmp_path / "iris.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=r"iris\.yaml: expected .* write \{n_trials: 50, timeout: null\} there"):
        set_keys(path, "search", {"n_trials": 50, "timeout": None})
    assert path.read_text() == text
