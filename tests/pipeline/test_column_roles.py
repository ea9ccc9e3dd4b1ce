"""What a column of a table may be: an ordered category, rare values, truth values, a split, weights."""

import random
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from contracts.encoding import encode
from contracts.schema import CategoricalFeature, NumericFeature, Schema
from contracts.settings.source import Source
from pipeline.data.schema_inference import infer_schema
from pipeline.data.splits import row_weights
from pipeline.tables import TARGET, write_rows
from serving.errors import Problem
from serving.validation.validator import InputValidator


def ordered(values: list[str | None], columns: dict | None = None, **data) -> tuple[pa.Table, Schema]:
    table = pa.table({"size": values, "x": range(len(values)), TARGET: np.arange(len(values)) * 1.0})
    roles = ({} if data.get("weight") else {"x": "number"}) | (columns or {})
    source = Source(source="rows.csv", target="y", task="regression", columns=roles, **data)
    return table, infer_schema("mine", source, table, "md5", bins=4)


def test_an_ordered_category_is_a_number_for_the_network_and_a_text_for_everybody_else() -> None:
    table, schema = ordered(["M", "S", None, "L"] * 10, columns={"size": ("S", "M", "L", "XL")})
    size = schema.features[0]
    assert isinstance(size, CategoricalFeature)
    assert size.categories == ("S", "M", "L", "XL")
    assert isinstance(schema.inputs[0], NumericFeature)
    assert (schema.inputs[0].minimum, schema.inputs[0].maximum, schema.inputs[0].missing) == (1, 3, True)
    assert len(schema.inputs[0].quantiles) > 1
    assert schema.sample["size"] == "M"
    np.testing.assert_array_equal(encode(schema, table.to_pandas())[:4, 0], [2, 1, np.nan, 3])
    rows = [{"size": size, "x": 1} for size in ("XL", None, "huge")]
    encoded, warnings, kinds = InputValidator(schema, 10).validate_instances(rows, "$")
    np.testing.assert_array_equal(encoded[:, 0], [4, np.nan, np.nan])
    assert [warning.path for warning in warnings] == ["$[2]['size']"]
    assert kinds == {"unknown_category": 1}
    numbers = Source(source="rows.csv", target="y", columns={"size": (1, 2, 3)})
    assert numbers.order_of("size") == ("1", "2", "3")


def test_rare_categories_share_the_code_of_unknown_ones() -> None:
    chance = random.Random(0)
    values = [f"v{min(int(chance.expovariate(0.5)), 9)}" for _ in range(300)]
    table, schema = ordered(values, max_categories=3)
    size = schema.features[0]
    assert isinstance(size, CategoricalFeature)
    assert size.categories == ("v0", "v1", "v2")
    assert size.rare == len(set(values)) - 3
    codes = encode(schema, table.to_pandas())[:, 0]
    assert {value for value, code in zip(values, codes, strict=True) if code == 0} == set(values) - set(size.categories)
    _, warnings, _ = InputValidator(schema, 10).validate_instances([{"size": "v7", "x": 1}], "$")
    assert warnings[0].message == "a category that training rarely or never saw, taken as unknown"


def test_the_column_that_splits_is_left_out_and_can_be_forced_in() -> None:
    values = [f"c{i % 9}" for i in range(90)]
    split = {"by": "group", "column": "size"}
    left_out = ordered(values, split=split)[1]
    assert [(c.name, c.role, c.reason) for c in left_out.dropped] == [("size", "group", "the rows are split by it")]
    assert [f.name for f in ordered(values, split=split, columns={"size": "category"})[1].features] == ["size", "x"]
    in_time = ordered(values, split={"by": "time", "column": "x"})[1]
    assert [feature.name for feature in in_time.features] == ["size", "x"]


def test_truth_values_may_be_sent_as_such() -> None:
    _, schema = ordered(["True", "False", None, "True"] * 5)
    validator = InputValidator(schema, 10)
    texts = validator.validate_instances([{"size": text, "x": 1} for text in ("True", "False", None)], "$").encoded
    truth = validator.validate_instances([{"size": value, "x": 1} for value in (True, False, None)], "$").encoded
    np.testing.assert_array_equal(texts, truth)
    with pytest.raises(Problem):
        InputValidator(ordered(["yes", "no"] * 10)[1], 10).validate_instances([{"size": True, "x": 1}], "$")


def test_the_column_of_weights_is_left_out_and_tolerated_in_requests(tmp_path: Path) -> None:
    table, schema = ordered(["a", "b"] * 10, weight="x")
    assert [feature.name for feature in schema.features] == ["size"]
    assert [(column.name, column.role) for column in schema.dropped] == [("x", "weight")]
    InputValidator(schema, 10).validate_instances([{"size": "a", "x": 3}], "$")
    write_rows(tmp_path / "train.parquet", table)
    assert row_weights(pq.read_table(tmp_path / "train.parquet"), schema).tolist() == list(range(20))


def test_numbers_that_are_one_to_the_network_are_said_to_be() -> None:
    table, _ = ordered(["a", "b"] * 10)
    table = table.append_column("account", pa.array([2**60 + i % 3 for i in range(20)]))
    source = Source(source="rows.csv", target="y", task="regression", columns={"x": "number"})
    schema = infer_schema("mine", source, table, "md5")
    assert [(column.name, column.role) for column in schema.dropped] == [("account", "constant")]
    assert "set columns: {account: category}" in schema.dropped[0].reason
    source = source.model_copy(update={"columns": {"account": "number"}})
    assert "account" in [feature.name for feature in infer_schema("mine", source, table, "md5").features]
