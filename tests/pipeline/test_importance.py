"""What a model uses of its features: their importance, and the curves of its predictions."""

from pathlib import Path

import numpy as np
import pytest

from contracts.metrics import BY_NAME
from pipeline.model_report.importance import partial_dependence, permutation_importance
from tests.serving.bundles import PRICES


def test_the_features_that_a_model_uses_stand_out_with_their_curves(tmp_path: Path) -> None:
    """A linear model: the importance follows the weights, and a curve is a line with the weight as slope."""
    weights = np.array([0.1, 2.0, 0.5])
    rows = np.random.default_rng(0).normal(5, 3, (400, 3)).astype(np.float32)

    def predict(encoded: np.ndarray) -> np.ndarray:
        return encoded @ weights

    found = permutation_importance(PRICES, predict, BY_NAME["rmse"], rows, predict(rows), 0)
    assert sorted(found, key=lambda entry: -entry.value) == [found[1], found[2], found[0]]
    assert [entry.name for entry in found] == ["a", "b", "c"]
    for entry in found:
        assert entry.low < entry.value < entry.high
    # Two independent values differ by √2 standard deviations.
    assert found[1].value == pytest.approx(2.0 * 3 * np.sqrt(2), rel=0.1)
    curve = partial_dependence(PRICES, predict, rows, "b")
    assert curve is not None
    np.testing.assert_allclose(np.diff(curve.y[:, 0]) / np.diff(curve.x), 2.0, rtol=1e-3)


def test_a_feature_that_a_model_ignores_has_no_importance() -> None:
    rows = np.random.default_rng(0).normal(5, 3, (200, 3)).astype(np.float32)
    y = rows[:, 0].copy()
    found = permutation_importance(PRICES, lambda encoded: encoded[:, 0], BY_NAME["rmse"], rows, y, 0)
    assert found[0].name == "a"
    assert [(entry.value, entry.high) for entry in found[1:]] == [(0, 0), (0, 0)]
