"""The schema, inferred from the train split, and the encoding that training and serving share."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from contracts.encoding import encode, encode_target
from contracts.errors import UserError
from contracts.schema import CategoricalFeature, NumericFeature, load_schema
from contracts.settings.load import Source
from pipeline.data.schema_inference import infer_schema
from pipeline.data.splits import read_part
from pipeline.tables import IMAGE, TARGET, images_to_column, write_rows

TABLE = {
    "rooms": [1.0, 2.0, None, 4.0, 5.0],
    "near": ["sea", "inland", "sea", None, "bay"],
    "age": [10, 20, 30, 40, 50],
    TARGET: [1.5, 2.5, 3.5, 4.5, 5.5],
}
REGRESSION = Source(source="scikit-learn", task="regression")
CLASSES = Source(source="scikit-learn", task="multiclass")


def schema_of(table: dict, source: Source = REGRESSION):
    return infer_schema("homes", source, pa.Table.from_pandas(pd.DataFrame(table), preserve_index=False), "md5")


def test_kinds_ranges_categories_and_missing_values_are_those_of_the_table() -> None:
    rooms, near, age = schema_of(TABLE).features
    assert isinstance(rooms, NumericFeature)
    assert (rooms.minimum, rooms.maximum, rooms.median, rooms.missing) == (1, 5, 3, True)
    assert rooms.mean == pytest.approx(3.0)
    assert rooms.std == pytest.approx(np.std([1, 2, 4, 5]))
    assert isinstance(near, CategoricalFeature)
    assert (near.categories, near.missing) == (("bay", "inland", "sea"), True)
    assert age.missing is False


def test_the_sample_is_a_row_without_gaps() -> None:
    assert schema_of(TABLE).sample == {"rooms": 1.0, "near": "sea", "age": 10}


def test_a_schema_is_the_same_after_saving(tmp_path: Path) -> None:
    schema = schema_of(TABLE)
    schema.save(tmp_path / "schema.json")
    assert load_schema(tmp_path / "schema.json") == schema


def test_a_target_without_a_name_is_called_target_also_in_an_older_bundle(tmp_path: Path) -> None:
    schema = schema_of(TABLE)
    assert schema.target.name == "target"
    schema.model_copy(update={"target": schema.target.model_copy(update={"name": "__target__"})}).save(tmp_path / "s")
    assert load_schema(tmp_path / "s") == schema


def test_encoding_keeps_numbers_and_turns_categories_into_codes() -> None:
    schema = schema_of(TABLE)
    rows = {"age": [7, 8], "near": ["sea", "bay"], "rooms": [2.5, 3.5], "ignored": [0, 0]}
    np.testing.assert_array_equal(encode(schema, rows), np.array([[2.5, 3, 7], [3.5, 1, 8]], dtype=np.float32))


def test_an_unknown_and_a_missing_category_have_the_unknown_code_and_a_missing_number_is_nan() -> None:
    encoded = encode(schema_of(TABLE), {"age": [1, 1], "near": ["moon", None], "rooms": [None, float("nan")]})
    np.testing.assert_array_equal(encoded[:, 1], [0, 0])
    assert np.isnan(encoded[:, 0]).all()


def test_a_frame_and_lists_are_encoded_the_same() -> None:
    schema, frame = schema_of(TABLE), pd.DataFrame(TABLE)
    lists = {name: [None if pd.isna(v) else v for v in frame[name]] for name in ("rooms", "near", "age")}
    np.testing.assert_array_equal(encode(schema, frame), encode(schema, lists))


def test_classes_are_sorted_names_and_become_codes() -> None:
    schema = schema_of({"x": [1.0, 2.0, 3.0], TARGET: ["b", "a", "b"]}, CLASSES)
    assert schema.classes == ("a", "b")
    assert schema.target.frequencies == pytest.approx((1 / 3, 2 / 3))
    np.testing.assert_array_equal(encode_target(schema, ["b", "a"]), [1, 0])


def test_images_are_the_same_after_saving(tmp_path: Path) -> None:
    images = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    source = Source(source="scikit-learn", task="multiclass", image={"height": 2, "width": 3, "maximum": 16.0})
    table = pa.table({IMAGE: images_to_column(images), TARGET: ["a", "b"]})
    schema = infer_schema("dots", source, table, "md5")
    assert schema.input_width == 6
    assert schema.sample == {IMAGE: [[0, 1, 2], [3, 4, 5]]}
    write_rows(tmp_path / "part.parquet", table)
    rows, target = read_part(tmp_path / "part.parquet", schema)
    np.testing.assert_array_equal(rows, images.reshape(2, 6).astype(np.float32))
    np.testing.assert_array_equal(target, [0, 1])


@pytest.mark.parametrize(
    ("table", "source", "told"),
    [
        ({"x": [None, None], TARGET: [1.0, 2.0]}, REGRESSION, "column 'x': expected values"),
        ({"x": [1.0, 2.0], TARGET: [1.0, None]}, REGRESSION, "1 missing"),
        ({"x": [1.0, 2.0], TARGET: ["a", "b"]}, REGRESSION, "expected numbers for a regression"),
        ({"x": [1.0, 2.0], TARGET: ["a", "a"]}, CLASSES, "expected 2 classes or more"),
        (
            {"x": [1.0, 2.0, 3.0], TARGET: ["a", "b", "c"]},
            Source(source="scikit-learn", task="binary"),
            "expected 2 classes for the task binary, received 3",
        ),
    ],
)
def test_a_table_without_something_to_learn_is_refused(table: dict, source: Source, told: str) -> None:
    with pytest.raises(UserError, match=told):
        schema_of(table, source)


def test_a_constant_column_does_not_divide_by_zero() -> None:
    assert schema_of({"x": [2.0, 2.0], TARGET: [1.0, 2.0]}).features[0].std == 1.0
