"""The downloaded datasets, in full, where DATA_MIRROR names a mirror."""

import os
from pathlib import Path

import pytest

from contracts.settings.load import load_params
from pipeline.sources.readers import load_raw
from pipeline.tables import IS_TEST, TARGET

REAL = Path(__file__).parent.parent.parent / "params.yaml"
pytestmark = pytest.mark.skipif("DATA_MIRROR" not in os.environ, reason="DATA_MIRROR names no mirror")


@pytest.mark.parametrize(
    ("dataset", "rows", "columns"),
    [("mnist", 70_000, 3), ("fashion_mnist", 70_000, 3), ("california_housing", 20_640, 9), ("housing", 20_640, 10)],
)
def test_the_mirror_has_what_the_catalog_expects(dataset: str, rows: int, columns: int, tmp_path: Path) -> None:
    params = load_params(REAL, dataset)
    # The mirror is the only source that answers.
    source = params.source.model_copy(update={"addresses": ("http://127.0.0.1:1/{file}",)})
    table = load_raw(dataset, source, params.fetch.model_copy(update={"attempts": 1}), tmp_path)
    assert (table.num_rows, table.num_columns) == (rows, columns)
    if IS_TEST in table.column_names:
        assert sum(table[IS_TEST].to_pylist()) == 10_000
        assert len(table[TARGET].unique()) == 10
    if dataset == "housing":
        assert table["total_bedrooms"].to_pandas().isna().sum() == 207
    if dataset == "california_housing":
        assert table["MedInc"][0].as_py() == pytest.approx(8.3252)
        assert table[TARGET][0].as_py() == pytest.approx(4.526)
