"""The metrics equal those of scikit-learn."""

import numpy as np
import pytest
from sklearn import metrics as sk

from contracts.metrics import BY_NAME, CLASSIFICATION, REGRESSION, bootstrap_intervals
from contracts.schema import ClassTarget, NumericTarget, Schema
from pipeline.evaluation.baselines import baseline_predictions

GENERATOR = np.random.default_rng(0)
Y = GENERATOR.integers(0, 4, 200)
P = GENERATOR.dirichlet(np.ones(4), 200).astype(np.float32)
VALUES, PREDICTED = GENERATOR.normal(size=200), GENERATOR.normal(size=200)
THEIRS = {
    "accuracy": lambda: sk.accuracy_score(Y, P.argmax(1)),
    "log_loss": lambda: sk.log_loss(Y, P / P.sum(1, keepdims=True)),
    "macro_f1": lambda: sk.f1_score(Y, P.argmax(1), average="macro"),
    "roc_auc": lambda: sk.roc_auc_score(Y, P / P.sum(1, keepdims=True), multi_class="ovr"),
    "rmse": lambda: sk.root_mean_squared_error(VALUES, PREDICTED),
    "mae": lambda: sk.mean_absolute_error(VALUES, PREDICTED),
    "r2": lambda: sk.r2_score(VALUES, PREDICTED),
}


@pytest.mark.parametrize("metric", [*CLASSIFICATION, *REGRESSION], ids=lambda metric: metric.name)
def test_a_metric_equals_that_of_scikit_learn(metric) -> None:
    ours = metric.compute(*((Y, P) if metric in CLASSIFICATION else (VALUES, PREDICTED)))
    assert ours == pytest.approx(THEIRS[metric.name](), rel=1e-6)


def test_the_log_loss_of_a_certain_mistake_is_finite() -> None:
    assert 10 < BY_NAME["log_loss"].compute(np.array([0]), np.array([[0.0, 1.0]], dtype=np.float32)) < 20


def test_roc_auc_of_two_classes_ranks_the_second() -> None:
    p = np.array([[0.9, 0.1], [0.2, 0.8]])
    assert BY_NAME["roc_auc"].compute(np.array([0, 1]), p) == 1.0
    assert np.isnan(BY_NAME["roc_auc"].compute(np.array([1, 1]), p))


def test_a_metric_knows_which_way_is_better() -> None:
    assert BY_NAME["accuracy"].better(0.9, than=0.8)
    assert not BY_NAME["accuracy"].better(0.8, than=0.8)
    assert BY_NAME["rmse"].better(1.0, than=2.0)
    assert not BY_NAME["rmse"].better(1.0, than=2.0, by=1.5)
    assert not BY_NAME["rmse"].better(float("nan"), than=2.0)


def test_an_interval_contains_the_value_and_narrows_with_more_rows() -> None:
    def width(rows: int) -> float:
        (low, high) = bootstrap_intervals((BY_NAME["rmse"],), VALUES[:rows], PREDICTED[:rows], 200, 0.9, 0)["rmse"]
        assert low < BY_NAME["rmse"].compute(VALUES[:rows], PREDICTED[:rows]) < high
        return high - low

    assert width(200) < width(20)


def test_intervals_are_the_same_for_the_same_seed() -> None:
    first, second = (bootstrap_intervals(CLASSIFICATION, Y, P, 20, 0.9, 7) for _ in range(2))
    assert first == second


def test_the_baseline_predicts_frequencies_or_the_mean() -> None:
    classes = ClassTarget(name="y", classes=("a", "b"), frequencies=(0.25, 0.75))
    schema = Schema(dataset="d", raw_md5="", task="binary", features=(), target=classes, sample={})
    np.testing.assert_allclose(baseline_predictions(schema, 3), [[0.25, 0.75]] * 3)
    schema = schema.model_copy(update={"target": NumericTarget(name="y", mean=3.5, std=1.0), "task": "regression"})
    np.testing.assert_allclose(baseline_predictions(schema, 2), [3.5, 3.5])
