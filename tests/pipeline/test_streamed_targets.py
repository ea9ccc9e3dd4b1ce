"""Several targets of a table that is streamed: they become the same as those of the table as a whole."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from contracts.errors import UserError
from pipeline.paths import Paths
from pipeline.stages import fetch
from pipeline.tables import TARGET
from tests.pipeline import streamed

pytestmark = pytest.mark.usefixtures("small_batches", "no_report")


def with_targets() -> pd.DataFrame:
    r, frame = np.random.default_rng(0), streamed.mixed()
    frame["weight"] = np.where(r.random(streamed.ROWS) < 0.1, np.nan, r.normal(size=streamed.ROWS))
    frame["count"] = np.arange(streamed.ROWS) // 7
    frame["paid"] = r.choice(["Yes", "no"], streamed.ROWS)
    frame["late"] = r.integers(0, 2, streamed.ROWS)
    frame["tags"] = [
        " | ".join(r.permutation(["red", "NA", "big", "7"])[: r.integers(0, 4)]) or "|" for _ in range(streamed.ROWS)
    ]
    frame["number"] = r.integers(1, 5, streamed.ROWS)
    frame["pairs"] = [f"{a},{b}" for a, b in r.integers(1, 4, (streamed.ROWS, 2))]
    frame["days"] = [f"2024-01-0{day}" for day in r.integers(1, 4, streamed.ROWS)]
    frame.loc[5, ["late", "tags"]] = [np.nan, "NA"]
    return frame


@pytest.mark.parametrize("write", [streamed.write_csv, streamed.write_parquet])
@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ({"target": ("weight", "count")}, pa.float64()),
        ({"target": ("paid", "late")}, pa.bool_()),
        ({"target": ("late", "number")}, pa.float64()),
        ({"target": "tags", "separator": "|"}, pa.bool_()),
        ({"target": "pairs", "separator": ","}, pa.bool_()),
        ({"target": "days", "separator": "|"}, pa.bool_()),
        ({"target": "number", "separator": "|", "test_source": "rows/part02"}, pa.bool_()),
    ],
    ids=["numbers", "labels", "a label and a number", "labels in a text", "pairs", "days", "numbers, test rows"],
)
def test_several_targets_are_those_of_the_whole_table(write: Callable, source: dict, kind: pa.DataType, capsys) -> None:
    write(with_targets())
    ending = ".csv" if write is streamed.write_csv else ".parquet"
    if "test_source" in source:
        source = source | {"test_source": source["test_source"] + ending, "source": "rows/part00" + ending}
    whole, streams = streamed.run_both(**source)
    streamed.assert_same(whole, streams)
    target = pq.read_schema(streams.raw / "data.parquet").field(TARGET).type
    assert {field.type for field in target} == {kind}
    rows = pq.read_table(streams.raw / "data.parquet")[TARGET].to_pylist()
    assert all(any(row[field.name] for row in rows) for field in target)
    if source["target"] == "pairs":
        assert [field.name for field in target] == ["1", "2", "3"]
    if source["target"] == "tags":
        assert [field.name for field in target] == ["7", "NA", "big", "red"]
        left_out = capsys.readouterr().out.count("have no tags and are left out; write '|' alone for a row without")
        assert left_out == (2 if write is streamed.write_csv else 0)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"target": ("weight", "city")}, "expected numbers in all, or true and false in all, received other values in "
         "city"),
        ({"target": ("paid", "late"), "task": "regression"}, "expected numbers, received other values in paid"),
        ({"target": ("late", "weight"), "task": "multilabel"}, "expected true and false, received other values in "),
        ({"target": "text", "separator": " "}, "and at most 1,000 different ones, received [0-9,]+"),
        ({"target": ("late", "z")}, "expected a column of rows, received 'z'"),
    ],
)  # fmt: skip
def test_targets_of_no_kind_are_refused_as_those_of_the_whole_table(source: dict, message: str) -> None:
    streamed.write_csv(with_targets())
    told = []
    for memory in (streamed.WHOLE, streamed.STREAMED):
        with pytest.raises(UserError, match=message) as refused:
            fetch.run(streamed.settings(memory, **source), Paths("mine"))
        told.append(str(refused.value))
    assert told[0].partition("received")[0] == told[1].partition("received")[0]
    assert not Path("data/raw/mine/data.parquet").exists()
