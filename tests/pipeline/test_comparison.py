"""Whether a gain over the champion is more than chance."""

import numpy as np
import pyarrow as pa
import pytest

from contracts.metrics import BY_NAME
from pipeline.data.row_ids import row_ids
from pipeline.evaluation.comparison import Comparison, compare
from pipeline.tables import IMAGE, TARGET, images_to_column


def compared(metric: str, y: np.ndarray, champion, candidates, best: int = 0, n_trials: int = 1) -> Comparison:
    return compare(BY_NAME[metric], y, champion, candidates, best, n_trials, 0.95, seed=0)


def noisy(y: np.ndarray, spread: float, seed: int) -> np.ndarray:
    return (y + np.random.default_rng(seed).normal(0, spread, len(y))).astype(np.float32)


@pytest.mark.parametrize("n_rows", [24, 400])
def test_equally_good_models_seldom_seem_better(n_rows: int) -> None:
    promoted = 0
    for seed in range(30):
        y = np.random.default_rng(seed).normal(size=n_rows)
        predictions = [noisy(y, 1.0, 1000 * (seed + 1) + i) for i in range(13)]
        ranked = sorted(predictions[1:], key=lambda p: BY_NAME["rmse"].compute(y, p))[:3]
        promoted += compared("rmse", y, predictions[0], ranked, n_trials=12).p_value < 0.05
    assert promoted <= 3


def test_a_much_better_model_is_found_and_a_worse_one_is_not() -> None:
    y = np.random.default_rng(0).normal(size=200)
    good, bad = noisy(y, 0.5, 1), noisy(y, 1.0, 2)
    better, worse = compared("rmse", y, bad, [good], n_trials=12), compared("rmse", y, good, [bad], n_trials=12)
    assert better.p_value < 0.001
    assert 0 < better.low < better.gain < better.high
    assert worse.p_value > 0.9
    assert worse.gain == pytest.approx(-better.gain)


def test_the_gain_is_positive_for_the_better_one_whatever_the_direction() -> None:
    y = np.arange(100) % 2
    right, wrong = np.eye(2)[y] * 0.8 + 0.1, np.eye(2)[(y + (np.arange(100) < 30)) % 2] * 0.8 + 0.1
    for metric in ("accuracy", "log_loss", "roc_auc", "macro_f1"):
        assert compared(metric, y, wrong, [right]).gain > 0
        assert compared(metric, y, wrong, [right]).p_value < 0.01


def test_more_trials_ask_for_more_evidence() -> None:
    y = np.random.default_rng(0).normal(size=100)
    champion, candidate = noisy(y, 1.0, 1), noisy(y, 0.9, 2)
    values = [compared("rmse", y, champion, [candidate], n_trials=n).p_value for n in (1, 10, 100)]
    assert values == sorted(values)
    assert values[0] < values[2] / 2


def test_a_gain_that_no_draw_reaches_is_judged_by_the_normal_tail() -> None:
    y = np.random.default_rng(0).normal(size=2000)
    found = compared("rmse", y, noisy(y, 1.0, 1), [noisy(y, 0.5, 2)], n_trials=100_000)
    assert found.p_value < 0.01


def test_one_row_decides_nothing() -> None:
    y, right = np.ones(24, int), np.tile([0.1, 0.9], (24, 1))
    one_wrong = np.vstack([[0.9, 0.1], right[1:]])
    better, worse = compared("accuracy", y, one_wrong, [right]), compared("accuracy", y, right, [one_wrong])
    assert better.gain == pytest.approx(1 / 24)
    assert better.p_value == pytest.approx(0.5, abs=0.05)
    assert worse.p_value == 1.0


def test_a_row_has_the_same_id_in_another_order_and_with_another_target() -> None:
    table = pa.table({"a": [1.0, 2.0, None], "b": ["x", None, "y"], TARGET: [1, 2, 3]})
    ids = row_ids(table)
    assert len(set(ids)) == 3
    other = table.take([2, 0, 1]).set_column(2, TARGET, pa.array([7, 7, 7]))
    assert row_ids(other).tolist() == ids[[2, 0, 1]].tolist()


def test_images_have_ids() -> None:
    images = np.random.default_rng(0).integers(0, 255, (3, 2, 2), dtype=np.uint8)
    table = pa.table({IMAGE: images_to_column(images), TARGET: ["0", "1", "2"]})
    assert len(set(row_ids(table))) == 3
    assert row_ids(table.slice(1)).tolist() == row_ids(table)[1:].tolist()
