"""Targets of a table of one's own, in every form: classes as they were written, labels, several numbers, gaps."""

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from contracts.encoding import encode_target
from contracts.errors import UserError
from contracts.schema import Schema, load_schema
from contracts.settings.source import Source
from pipeline.data.schema_inference import infer_schema
from pipeline.sources.own_table import read_source
from pipeline.tables import TARGET, infer_task, write_rows


@pytest.fixture
def learned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The schema of a table with these columns beside a feature, its target values, and the notes about it."""
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))

    def made(ending: str = "csv", target: str | tuple[str, ...] = "y", **settings) -> tuple[Schema, list, list[str]]:
        columns = settings.pop("columns_of_target")
        n = len(next(iter(columns.values())))
        frame = pd.DataFrame({"a": [i % 7 for i in range(n)], **columns})
        path = tmp_path / f"rows.{ending}"
        {"csv": lambda: frame.to_csv(path, index=False), "parquet": lambda: frame.to_parquet(path),
         "jsonl": lambda: frame.to_json(path, orient="records", lines=True)}[ending]()  # fmt: skip
        source = Source(source=path.name, target=target, **settings)
        table, notes, _ = read_source(source)
        write_rows(tmp_path / "data.parquet", table)  # as the stages pass it on
        table = pq.read_table(tmp_path / "data.parquet").take(pa.array(range(table.num_rows)))
        source = source.model_copy(update={"task": source.task or infer_task(table)})
        return infer_schema("mine", source, table, "md5"), table[TARGET].to_pylist(), notes

    return made


@pytest.mark.parametrize(
    ("ending", "values", "labels"),
    [
        ("csv", [1, 2, 10], (1, 2, 10)),
        ("csv", [-1, 1, 1], (-1, 1)),
        ("csv", ["yes", "no", "no"], ("no", "yes")),
        ("csv", ["01", "02", "03"], ("01", "02", "03")),
        ("csv", ["True", "False", "True"], (False, True)),
        ("csv", ["1", "2", "x"], ("1", "2", "x")),
        ("csv", [2**60 + 1, 2**60 + 2, -(2**60)], (-(2**60), 2**60 + 1, 2**60 + 2)),
        ("csv", [2**70 + 1, 2**70 + 2, 5], (str(2**70 + 1), str(2**70 + 2), "5")),
        ("parquet", [1, 2, 10], (1, 2, 10)),
        ("parquet", [True, False, True], (False, True)),
        ("parquet", ["1", "2", "10"], ("1", "10", "2")),
        ("jsonl", [True, False, True], (False, True)),
        ("jsonl", [3, 4, 3], (3, 4)),
    ],
)
def test_classes_are_what_they_were_in_the_data(learned, tmp_path: Path, ending, values, labels) -> None:
    schema, rows, _ = learned(ending, columns_of_target={"y": values * 10})
    assert [(type(label), label) for label in schema.labels] == [(type(label), label) for label in labels]
    assert schema.task == ("binary" if len(labels) == 2 else "multiclass")
    codes = encode_target(schema, rows)
    assert [str(schema.labels[code]).lower() for code in codes[:3]] == [str(value).lower() for value in values]
    schema.save(tmp_path / "schema.json")
    assert load_schema(tmp_path / "schema.json").labels == schema.labels


def test_rows_without_a_target_are_left_out_and_counted(learned) -> None:
    schema, rows, notes = learned(columns_of_target={"y": ["b", None, "c"] * 10})
    assert schema.labels == ("b", "c")
    assert len(rows) == 20
    assert "10 of 30 rows have no y and are left out" in notes
    assert not [note for note in learned(columns_of_target={"y": ["b", "c"] * 10})[2] if "left out" in note]


def test_several_columns_of_numbers_are_predicted_together(learned) -> None:
    columns = {"x": [1.5, None, 3.5] * 10, "y": [10, 20, 30] * 10}
    schema, rows, notes = learned(target=("x", "y"), columns_of_target=columns)
    assert (schema.task, schema.outputs, [f.name for f in schema.features]) == ("regression", ("x", "y"), ["a"])
    assert rows[:2] == [{"x": 1.5, "y": 10.0}, {"x": 3.5, "y": 30.0}]
    assert "10 of 30 rows have no x or y and are left out" in notes


def test_several_columns_of_true_and_false_are_labels(learned) -> None:
    columns = {"paid": ["yes", "no", "yes"] * 10, "late": [0, 1, 1] * 10, "new": ["TRUE", "FALSE", "TRUE"] * 10}
    schema, rows, _ = learned(target=tuple(columns), columns_of_target=columns)
    assert (schema.task, schema.outputs) == ("multilabel", ("paid", "late", "new"))
    assert rows[:2] == [{"paid": True, "late": False, "new": True}, {"paid": False, "late": True, "new": False}]
    numbers, _, _ = learned(target=("late", "b"), task="regression", columns_of_target={**columns, "b": [0, 1, 2] * 10})
    assert (numbers.task, numbers.outputs) == ("regression", ("late", "b"))


@pytest.mark.parametrize(
    ("values", "task"),
    [
        ([*[0, 1, 2] * 10, 3, 3], "regression"),
        ([*[0, 1, 2] * 10, 3, 3, 3], "multiclass"),
        ([*[0] * 30, 1], "binary"),
        (range(8), "regression"),
    ],
)
def test_whole_numbers_of_which_some_are_rare_are_a_count(learned, values, task: str) -> None:
    schema, _, notes = learned(columns_of_target={"y": list(values)})
    assert schema.task == task
    said = "y: a number, because some of its whole numbers have fewer than 3 rows"
    assert (said in notes) == (task == "regression")
    if task == "regression":
        schema, _, notes = learned(columns_of_target={"y": list(values)}, task="multiclass")
        assert schema.task == "multiclass"
        assert said not in notes


def test_a_text_with_a_separator_holds_labels(learned) -> None:
    texts = ["red| big ", "big", "", "small||red"] * 10
    schema, rows, notes = learned(separator="|", columns_of_target={"y": texts})
    assert (schema.task, schema.outputs) == ("multilabel", ("big", "red", "small"))
    assert rows[:2] == [{"big": True, "red": True, "small": False}, {"big": True, "red": False, "small": False}]
    assert "10 of 40 rows have no y and are left out; write '|' alone for a row without labels" in notes
    assert learned(separator="|", columns_of_target={"y": ["red", "|", "big"] * 10})[1][1] == {
        "big": False,
        "red": False,
    }


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"target": ("x", "y")}, "data.target: expected numbers in all, or true and false in all, received other "
         "values in y"),
        ({"target": ("x", "y"), "task": "multilabel"}, "data.target: expected true and false, received other values in "
         "x, y"),
        ({"target": ("x", "z")}, "data.target: expected a column of rows.csv, received 'z'; there are a, x, y"),
    ],
)  # fmt: skip
def test_targets_that_do_not_go_together_are_told(learned, settings, message) -> None:
    with pytest.raises(UserError) as refusal:
        learned(**settings, columns_of_target={"x": [1.5, 2.5, 3.5] * 10, "y": ["u", "v", "w"] * 10})
    assert str(refusal.value) == message


@pytest.mark.parametrize(("text", "received"), [("|".join(map(str, range(1200))), "1,200"), ("|", "0")])
def test_texts_that_hold_no_labels_or_too_many_are_refused(learned, text: str, received: str) -> None:
    with pytest.raises(UserError) as refusal:
        learned(separator="|", columns_of_target={"y": [text] * 30})
    expected = "expected one label or more between '|', and at most 1,000 different ones"
    assert str(refusal.value) == f"data.separator: {expected}, received {received}"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"target": ("x", "x")}, "each column of target once, received x, x"),
        ({"target": "y", "task": "multilabel"}, "a list of columns as target, or a separator, for task: multilabel"),
        ({"target": ("x", "y"), "task": "binary"}, "one column without separator for classes"),
        ({"target": ("x", "y"), "separator": "|"}, "a separator for one column only"),
    ],
)
def test_a_task_that_does_not_fit_the_target_is_refused_with_the_settings(settings, message) -> None:
    with pytest.raises(ValueError, match=message):
        Source(source="rows.csv", **settings)


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_few_whole_numbers_written_with_a_decimal_mark_are_said_to_be_no_classes(learned, ending: str) -> None:
    """What pandas makes of 0 and 1 beside gaps."""
    said = "y: a number, because its values are written as 0.0, 1.0; data.task: binary predicts classes"
    values = {"y": [0.0, 1.0, None] * 10}
    schema, _, notes = learned(ending, columns_of_target=values)
    assert (schema.task, said in notes) == ("regression", True)
    schema, _, notes = learned(ending, columns_of_target=values, task="binary")
    assert (len(schema.classes), said in notes) == (2, False)
    assert said not in learned(ending, columns_of_target={"y": [0.0, 1.0, 2.5] * 10})[2]
