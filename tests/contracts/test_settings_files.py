"""Files of settings that are damaged, hostile or not there: one line each, with the name of the file."""

import os

import pytest

from contracts.errors import UserError
from contracts.settings.load import load_datasets, load_params
from tests.contracts.settings_problems import problems, put

# Each mapping merges the one before it nine times.
MERGES = "\n".join(
    f"a{n}: &a{n} {{{'<<: [' + ', '.join([f'*a{n - 1}'] * 9) + ']' if n else 'x: 1'}}}" for n in range(30)
).encode()


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"search: [1, 2", "expected valid YAML, received expected ',' or ']', but got '<stream end>' in line 1"),
        (b"a: 1\nsearch: {}\nsearch: {}\n", 'expected valid YAML, received found duplicate key "search" in line 3'),
        (b"a: !!python/object/apply:os.system ['true']", "expected valid YAML, received could not determine a "
         "constructor for the tag 'tag:yaml.org,2002:python/object/apply:os.system' in line 1"),
        (b"- a\n- b\n", "expected a mapping of sections, received ['a', 'b']"),
        (b"", "expected a mapping of sections, received None"),
        (b"a: \xff\xfe", "expected UTF-8, received other bytes at position 3"),
        (b"a: \x00", "expected valid YAML, received unacceptable character #x0000: "
         "special characters are not allowed"),
        (b"a: " + b"[" * 5000, "expected a few levels of nesting, received too many"),
        (b"a: " + b"{b: " * 5000, "expected a few levels of nesting, received too many"),
        (b"a: " + b"9" * 5000, "expected values that can be read, received Exceeds the limit (4300 digits) for integer "
         "string conversion: value has 5000 digits"),
        (b"0x" + b"f" * 5000 + b": 1", "expected values that can be read, received a number of hundreds of digits"),
        (b"a: 2024-13-45", "expected values that can be read, received month must be in 1..12"),
        (b"a:\n\t- b", "expected valid YAML, received found character '\\t' that cannot start any token in line 2"),
        (b"#" * 300_000, "expected at most 256 KiB, received more"),
        (MERGES, "expected values that can be read, received aliases that make more than 100,000 values"),
    ],
    ids=["not closed", "a key twice", "a tag", "a list", "empty", "no UTF-8", "a NUL", "deep", "deep maps", "huge",
         "a huge key", "a date", "a tab", "too large", "merges"],
)  # fmt: skip
@pytest.mark.parametrize("file", ["params.yaml", "spaces.yaml", "catalog/iris.yaml"])
def test_a_file_that_is_no_plain_yaml_mapping_is_refused_in_one_line(params, file: str, content: bytes, told) -> None:
    (params.parent / file).write_bytes(content)
    (line,) = problems(params)
    assert line.startswith(f"{file}: {told}")


def test_a_pipe_in_the_place_of_a_file_is_told_and_not_waited_for(params, iris) -> None:
    iris.unlink()
    os.mkfifo(iris)
    assert problems(params) == ["catalog/iris.yaml: expected a file that can be read, received a pipe"]


def test_a_key_of_any_length_and_with_any_signs_is_told_in_one_short_line(params, iris) -> None:
    put(iris, "tr\nain\u2028" + "x" * 10_000, {})
    (line,) = problems(params)
    assert line.startswith(r"catalog/iris.yaml: tr\nain\u2028xxx")
    assert len(line) < 1000


@pytest.mark.parametrize("file", ["params.yaml", "spaces.yaml", "catalog/iris.yaml"])
def test_a_folder_in_the_place_of_a_file_and_a_missing_file_are_told(params, file: str) -> None:
    path = params.parent / file
    path.unlink()
    if not file.startswith("catalog/"):
        assert problems(params) == [f"{file}: expected a file that can be read, received No such file or directory"]
    path.mkdir()
    assert problems(params) == [f"{file}: expected a file that can be read, received Is a directory"]


def test_a_missing_catalog_is_told_by_the_names_that_ask_for_it(params) -> None:
    (params.parent / "catalog").rename(params.parent / "catalogue")
    assert problems(params)[0] == "params.yaml: datasets: expected a file catalog/iris.yaml, received none"


def test_yaml_that_refers_to_itself_is_refused(params, iris) -> None:
    iris.write_text(iris.read_text() + "train: &loop {class_weights: *loop}\n")
    told = "expected values that can be read, received aliases that make more than 100,000 values"
    assert problems(params) == [f"catalog/iris.yaml: {told}"]


def test_a_file_that_grows_when_it_is_written_out_is_refused_in_a_short_line(params, iris) -> None:
    bomb = "\n".join(f"  a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9) if n else 1}]" for n in range(30))
    iris.write_text(iris.read_text() + f"train:\n{bomb}\n")
    assert max(len(line) for line in problems(params)) < 500


def test_a_key_that_is_no_text_is_refused(params, iris) -> None:
    iris.write_text(iris.read_text() + "train: {1: 2}\n3: 4\n")
    assert [line.partition(" expected ")[0] for line in problems(params)] == [
        "catalog/iris.yaml: 3:", "catalog/iris.yaml: train.1:"
    ]  # fmt: skip


@pytest.mark.parametrize("content", [b"search: [1, 2", b"data: {}", b"search: {n_trials: none, space: nowhere}"])
def test_the_file_of_another_dataset_stops_only_a_command_for_all(params, content: bytes) -> None:
    (params.parent / "catalog/digits.yaml").write_bytes(content)
    (params.parent / "catalog/Other.yaml").write_bytes(b"")
    assert load_params(params, "iris").dataset == "iris"
    assert "digits" in load_datasets(params, ["iris", "wine"])
    assert any("catalog/digits.yaml" in line for line in problems(params, "iris", "digits"))
    assert any("catalog/Other.yaml" in line for line in problems(params))


def test_a_name_of_any_length_is_told_in_one_short_line(params) -> None:
    with pytest.raises(UserError) as told:
        load_params(params, "x" * 10_000)
    assert len(str(told.value)) < 1000


def test_a_network_that_no_task_can_have_is_refused_before_the_data_tells_the_task(params) -> None:
    space = "{depth: 1, family: ensemble, members: 0}"
    entry = f"data: {{source: rows.csv, target: y}}\nsearch:\n  metric: rmse\n  space: {space}\n"
    (params.parent / "catalog/own.yaml").write_text(entry)
    (line,) = problems(params)  # whether the metric fits is known with the task
    assert line == "catalog/own.yaml: search.space.members: expected greater than or equal to 2, received 0"
