"""How often each text of a column occurs, counted in a bounded memory."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from pipeline.streaming.text_counts import Counts


def test_there_are_never_more_different_texts_than_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.streaming.text_counts.MOST_KEPT", 100)
    monkeypatch.setattr("pipeline.streaming.text_counts.HASHES", 64)
    counts = Counts()
    counts.add(pa.chunked_array([[f"a{number}" for number in range(1000)]]))
    assert counts.distinct == 1000


def test_counts_beyond_what_is_kept_are_within_the_bounds_that_are_promised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.streaming.text_counts.MOST_KEPT", 1000)
    monkeypatch.setattr("pipeline.streaming.text_counts.HASHES", 1024)
    r, counts = np.random.default_rng(0), Counts()
    values = [f"v{value}" for value in np.concatenate([r.zipf(1.5, 30_000), r.integers(10**6, 10**9, 30_000)])]
    for start in range(0, len(values), 5000):
        counts.add(pa.chunked_array([values[start : start + 5000]]))
    true = pd.Series(values).value_counts()
    found = pd.Series(counts.table["count"].to_numpy(), index=counts.table["text"].to_pylist())
    assert (true[found.index] - found).between(0, 2 * len(values) / 1000).all()
    assert set(true.index[true > 2 * len(values) / 1000]) <= set(found.index)
    assert counts.distinct == pytest.approx(len(true), rel=4 / 32)
