"""The metrics equal those of scikit-learn."""

from typing import get_args

import numpy as np
import pytest
from sklearn import metrics as sk

from contracts.encoding import decide
from contracts.metrics import BY_NAME, CLASSIFICATION, REGRESSION, bootstrap_intervals, task_metrics
from contracts.quantiles import with_levels
from contracts.schema import ClassTarget, NumericTarget, Schema
from contracts.settings.sections import METRICS, MetricName
from contracts.thresholds import best_threshold, metric_input
from pipeline.evaluation.baselines import baseline_predictions

GENERATOR = np.random.default_rng(0)
Y = GENERATOR.integers(0, 4, 200)
P = GENERATOR.dirichlet(np.ones(4), 200).astype(np.float32)
VALUES, PREDICTED = GENERATOR.normal(size=200), GENERATOR.normal(size=200)
QUANTILES = Schema(
    dataset="d", raw_md5="", task="regression", features=(), sample={},
    target=NumericTarget(name="y", mean=0, std=1, quantiles=((0.1, -1.3), (0.5, 0.0), (0.9, 1.3))),
)  # fmt: skip
THEIRS = {
    "accuracy": lambda: sk.accuracy_score(Y, P.argmax(1)),
    "log_loss": lambda: sk.log_loss(Y, P / P.sum(1, keepdims=True)),
    "macro_f1": lambda: sk.f1_score(Y, P.argmax(1), average="macro"),
    "roc_auc": lambda: sk.roc_auc_score(Y, P / P.sum(1, keepdims=True), multi_class="ovr"),
    "rmse": lambda: sk.root_mean_squared_error(VALUES, PREDICTED),
    "mae": lambda: sk.mean_absolute_error(VALUES, PREDICTED),
    "r2": lambda: sk.r2_score(VALUES, PREDICTED),
    "pr_auc": lambda: sk.average_precision_score(np.eye(4)[Y], P / P.sum(1, keepdims=True)),
    "brier": lambda: sk.brier_score_loss(Y, P / P.sum(1, keepdims=True), scale_by_half=False),
    "balanced_accuracy": lambda: sk.balanced_accuracy_score(Y, P.argmax(1)),
    "rmsle": lambda: sk.root_mean_squared_log_error(SIZES, np.maximum(PREDICTED, 0)),
    "mape": lambda: sk.mean_absolute_percentage_error(SIZES, PREDICTED),
    "quantile_loss": lambda: np.mean([sk.mean_pinball_loss(VALUES, PREDICTED + q, alpha=q) for q in (0.1, 0.5, 0.9)]),
}
SIZES, Y2, P2 = np.exp(VALUES), (Y > 1).astype(int), np.stack([P[:, :2].sum(1), P[:, 2:].sum(1)], axis=1)
THEIRS_OF_TWO = {
    "f1": lambda: sk.f1_score(Y2, P2.argmax(1)),
    "pr_auc": lambda: sk.average_precision_score(Y2, P2[:, 1]),
    "brier": lambda: sk.brier_score_loss(Y2, P2[:, 1]),
    "roc_auc": lambda: sk.roc_auc_score(Y2, P2[:, 1]),
}


@pytest.mark.parametrize("metric", [*CLASSIFICATION, *REGRESSION], ids=lambda metric: metric.name)
def test_a_metric_equals_that_of_scikit_learn(metric) -> None:
    positive = metric.name in ("rmsle", "mape")
    predicted = PREDICTED
    if metric.of_quantiles:
        assert np.isnan(metric.compute(VALUES, PREDICTED)), "no levels"
        predicted = with_levels(QUANTILES, PREDICTED[:, None] + QUANTILES.levels)
    ours = metric.compute(*((Y, P) if metric in CLASSIFICATION else (SIZES if positive else VALUES, predicted)))
    assert ours == pytest.approx(THEIRS[metric.name](), rel=1e-6)


@pytest.mark.parametrize("name", THEIRS_OF_TWO)
def test_a_metric_of_two_classes_equals_that_of_scikit_learn(name) -> None:
    assert BY_NAME[name].compute(Y2, P2) == pytest.approx(THEIRS_OF_TWO[name](), rel=1e-6)


@pytest.mark.parametrize(("name", "bad"), [("rmsle", -0.1), ("mape", 0.0)])
def test_a_target_that_does_not_define_a_metric_makes_it_nan(name, bad) -> None:
    assert BY_NAME[name].compute(SIZES, PREDICTED) > 0
    assert np.isnan(BY_NAME[name].compute(np.append(SIZES, bad), np.append(PREDICTED, 1.0)))


@pytest.mark.parametrize("name", ["f1", "balanced_accuracy"])
def test_the_threshold_of_a_rare_class_is_low_and_gives_the_best_value(name) -> None:
    metric, p2 = BY_NAME[name], np.clip(0.1 * Y2 + GENERATOR.normal(0.2, 0.05, 200), 0, 1)
    p = np.stack([1 - p2, p2], axis=1)
    threshold = best_threshold(metric, Y2, p)
    assert 0.15 < threshold < 0.35
    best = metric.compute(Y2, metric_input(metric, p, threshold))
    assert best >= max(metric.compute(Y2, metric_input(metric, p, t)) for t in np.linspace(0, 1, 400))
    assert best > metric.compute(Y2, p)
    assert decide(p, threshold).tolist() == (p2 >= threshold).astype(int).tolist()


def test_a_threshold_is_a_half_where_nothing_is_better_and_changes_no_metric_of_probabilities() -> None:
    p = np.array([[0.9, 0.1], [0.2, 0.8]])
    assert best_threshold(BY_NAME["f1"], np.array([0, 1]), p) == 0.5
    assert metric_input(BY_NAME["log_loss"], p, 0.3) is p
    assert decide(p, None).tolist() == [0, 1]


def test_the_log_loss_of_a_certain_mistake_is_finite() -> None:
    assert 10 < BY_NAME["log_loss"].compute(np.array([0]), np.array([[0.0, 1.0]], dtype=np.float32)) < 20


def test_roc_auc_of_two_classes_ranks_the_second() -> None:
    p = np.array([[0.9, 0.1], [0.2, 0.8]])
    assert BY_NAME["roc_auc"].compute(np.array([0, 1]), p) == 1.0
    assert np.isnan(BY_NAME["roc_auc"].compute(np.array([1, 1]), p))


@pytest.mark.parametrize("task", METRICS)
def test_the_settings_know_the_metrics_of_each_task(task) -> None:
    assert METRICS[task] == tuple(metric.name for metric in task_metrics(task))
    assert set(METRICS[task]) <= set(get_args(MetricName))


def test_a_metric_knows_which_way_is_better() -> None:
    assert BY_NAME["accuracy"].better(0.9, than=0.8)
    assert not BY_NAME["accuracy"].better(0.8, than=0.8)
    assert BY_NAME["rmse"].better(1.0, than=2.0)
    assert not BY_NAME["rmse"].better(1.0, than=2.0, by=1.5)
    assert not BY_NAME["rmse"].better(float("nan"), than=2.0)


def test_an_interval_contains_the_value_and_narrows_with_more_rows() -> None:
    def width(rows: int) -> float:
        (low, high) = bootstrap_intervals({BY_NAME["rmse"]: PREDICTED[:rows]}, VALUES[:rows], 200, 0.9, 0)["rmse"]
        assert low < BY_NAME["rmse"].compute(VALUES[:rows], PREDICTED[:rows]) < high
        return high - low

    assert width(200) < width(20)


def test_intervals_are_the_same_for_the_same_seed() -> None:
    first, second = (bootstrap_intervals(dict.fromkeys(CLASSIFICATION, P), Y, 20, 0.9, 7) for _ in range(2))
    assert first == second


def test_the_baseline_predicts_frequencies_or_the_mean() -> None:
    classes = ClassTarget(name="y", classes=("a", "b"), frequencies=(0.25, 0.75))
    schema = Schema(dataset="d", raw_md5="", task="binary", features=(), target=classes, sample={})
    np.testing.assert_allclose(baseline_predictions(schema, 3), [[0.25, 0.75]] * 3)
    schema = schema.model_copy(update={"target": NumericTarget(name="y", mean=3.5, std=1.0), "task": "regression"})
    np.testing.assert_allclose(baseline_predictions(schema, 2), [3.5, 3.5])
