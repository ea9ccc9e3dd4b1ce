"""Values of settings that are wrong alone, beside others, or later: each is told once, with its file and key."""

import pytest

from contracts.settings.load import load_params
from tests.contracts.settings_problems import problems, put


@pytest.mark.parametrize(
    ("where", "value", "told"),
    [
        ("search.n_trials", "many", "expected a valid integer, received 'many'"),
        ("search.n_trials", 0, "expected greater than or equal to 1, received 0"),
        ("search.n_trials", True, "expected a valid integer, received True"),
        ("search.n_trials", 1.5, "expected a valid integer, received 1.5"),
        ("search.timeout", 0, "expected greater than 0, received 0"),
        ("search.timeout", "10m", "expected a valid number, received '10m'"),
        ("search.workers", 0, "expected auto or greater than or equal to 1, received 0"),
        ("search.trial_timeout", 0, "expected greater than 0, received 0"),
        ("search.scheduler", "host:8786", "expected null or the address of a Dask scheduler, as tcp://host:8786, "
         "received 'host:8786'"),
        ("preprocess.scheduler", "tcp://host", "expected null or the address of a Dask scheduler, as tcp://host:8786, "
         "received 'tcp://host'"),
        ("search.metric", "acuracy", "expected one of auto, log_loss, accuracy, roc_auc, "
         "pr_auc, brier, f1, macro_f1, balanced_accuracy, rmse, mae, r2, rmsle, mape, quantile_loss, "
         "received 'acuracy'; did you mean 'accuracy'?"),
        ("search.pruner", "medain", "expected one of auto, none, median, successive_halving, hyperband, patient, "
         "threshold, wilcoxon, received 'medain'; did you mean 'median'?"),
        ("preprocess.test_fraction", 0.0, "expected greater than 0, received 0.0"),
        ("preprocess.test_fraction", float("nan"), "expected a finite number, received nan"),
        ("train.patience", -3, "expected greater than or equal to 1, received -3"),
        ("train.class_weights", "balancd", "expected one of none, balanced or a valid dictionary, "
         "received 'balancd'; did you mean 'balanced'?"),
        ("fetch.timeout", "30", "expected a valid number, received '30'"),
        ("evaluate.confidence", 1, "expected less than 1, received 1"),
        ("search.space.width", {"type": "int", "low": 9, "high": 3}, "expected low at most high, received low 9 and "
         "high 3"),
        ("search.space.learning_rate", {"type": "float", "low": 0.0, "high": 0.1, "log": True},
         "expected low above 0 on a log scale, received low 0.0"),
        ("search.space.width", {"type": "integer"}, "expected one of int, float, categorical, "
         "received 'integer'; did you mean 'int'?"),
        ("search.space.width", {"low": 1}, "expected a mapping with the key type, received {'low': 1}"),
        ("search.space.activation", "rleu",
         "expected 'relu', 'selu', 'gelu', 'silu', 'mish', 'tanh' or 'sigmoid', received 'rleu'"),
        ("search.space.learning_rate", -0.1, "expected greater than 0, received -0.1"),
        ("search.space.depth", {"type": "int", "low": -1, "high": 3}, "expected greater than or equal to 0, received "
         "-1"),
        ("search.space.optimizer", {"type": "categorical", "choices": ["adam", "adman"]},
         "expected 'adam', 'rmsprop', 'sgd', 'nadam' or 'adamw', received 'adman'"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_told_once_with_its_file_and_key(params, where: str, value, told: str) -> None:
    put(params, where, value)
    lines = [line for line in problems(params) if "catalog/" not in line]
    assert lines == [f"params.yaml: {where}: {told}"]


@pytest.mark.parametrize("where", ["search.n_trials", "train.patience", "preprocess.seed"])
def test_a_wrong_value_of_one_dataset_names_that_datasets_file(params, where: str) -> None:
    put(params.parent / "catalog/wine.yaml", where, "many")
    assert problems(params) == [f"catalog/wine.yaml: {where}: expected a valid integer, received 'many'"]


@pytest.mark.parametrize(
    ("where", "value", "told"),
    [
        ("search.n_trials", None, "search: expected a number for n_trials or timeout or both, received null for both"),
        ("search.sampler", "grid", "search: expected a step for the range of learning_rate, or choices, because "
         "sampler is grid"),
        ("search.metric", "rmse", "search.metric: expected one of accuracy, log_loss, macro_f1, roc_auc, pr_auc, "
         "brier, balanced_accuracy for multiclass, received 'rmse'"),
        ("search.metric", "f1", "search.metric: expected one of accuracy, log_loss, macro_f1, roc_auc, pr_auc, brier, "
         "balanced_accuracy for multiclass, received 'f1'"),
        ("select.threshold", "f1", "select.threshold: expected 0.5 for multiclass, which has no second of two classes, "
         "received 'f1'"),
        ("preprocess.test_fraction", 0.9, "preprocess: expected test_fraction + validation_fraction below 1, so that "
         "rows are left to train on"),
        ("data.task", "multiclas", "data.task: expected one of multiclass, binary, multilabel, regression, "
         "received 'multiclas'; did you mean 'multiclass'?"),
        ("data.source", "csv", "data: expected files with their sha256, and addresses, for a source that is "
         "downloaded"),
    ],
)  # fmt: skip
def test_what_does_not_fit_together_is_told_for_the_file_that_says_it(params, iris, where, value, told) -> None:
    put(iris, where, value)
    assert problems(params) == [f"catalog/iris.yaml: {told}"]


def test_intervals_that_are_used_and_not_fitted_are_told(params, iris) -> None:
    put(iris, "search.space.numeric", "quantile")
    assert load_params(params, "iris").bins_for(10) == 48
    put(iris, "preprocess.bins", 0)
    assert problems(params) == [
        "catalog/iris.yaml: search.space.numeric: expected preprocess.bins above 0 for quantile, received "
        "preprocess.bins: 0"
    ]


@pytest.mark.parametrize(
    ("where", "value", "told"),
    [
        ("train.epochs", 10**30, "train.epochs: expected auto or less than or equal to 1000000, received 10000000"),
        ("search.timeout", 1e308, "search.timeout: expected less than or equal to 10000000, received 1e+308"),
        ("search.workers", 100_000, "search.workers: expected auto or less than or equal to 256, received 100000"),
        ("search.space.dropout", {"type": "float", "low": 0.0, "high": 0.5, "step": 1e-9},
         "search.space.dropout: expected at most 100,000 steps from low to high, received step 1e-09"),
        ("search.space.width", {"type": "int", "low": 1, "high": 2**60}, "search.space.width.high: expected less than"),
        ("search.space.learning_rate", {"type": "float", "low": 0.1}, "search.space.learning_rate.high: expected a "
         "value, received none"),
        ("data.files", {"a.csv": "0" * 64}, "data: expected no files and no addresses for source: scikit-learn, "
         "received ['a.csv']"),
        ("data.task", "regression", None),
        ("data.task", "multilabel", "data: expected task: multiclass or regression for iris, received 'multilabel'"),
        ("data.image", {"height": 8, "width": 8, "maximum": 16.0}, "data: expected image: none for iris, received "
         "another"),
    ],
)  # fmt: skip
def test_a_value_that_would_fail_later_is_told_before_a_run(params, iris, where, value, told) -> None:
    put(iris, where, value)
    if where == "data.task" and told is None:
        put(iris, "search.metric", "rmse")
        assert load_params(params, "iris").source.task == "regression"
    else:
        assert problems(params)[0].startswith(f"catalog/iris.yaml: {told}")


def test_a_range_of_billions_is_read_at_once(params, iris) -> None:
    put(iris, "search.space.batch_size", {"type": "int", "low": 1, "high": 2**53, "step": 1, "default": 2**52})
    put(iris, "search.space.momentum", {"type": "float", "low": 0.0, "high": 0.9, "when": {"batch_size": 2**52 + 1}})
    assert load_params(params, "iris").search.space["batch_size"].default == 2**52


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"data.quantiles": [0.05, 0.5, 1.0]}, "data.quantiles: expected levels that rise between 0 and 1, with 0.5 "
         "between others, received [0.05, 0.5, 1.0]"),
        ({"data.quantiles": [0.95, 0.5, 0.05]}, "data.quantiles: expected levels that rise"),
        ({"data.quantiles": [0.05, 0.5, 0.5, 0.95]}, "data.quantiles: expected levels that rise"),
        ({"data.quantiles": [0.05, 0.95]}, "data.quantiles: expected levels that rise"),
        ({"data.quantiles": [0.5, 0.95]}, "data.quantiles: expected levels that rise"),
        ({"data.quantiles": [0.1, 0.5, 0.9], "data.task": "multiclass"}, "data: expected task: regression of one "
         "number for quantiles, received 'multiclass'"),
        ({"search.metric": "quantile_loss"}, "search.metric: expected data.quantiles for quantile_loss, received none"),
        ({"data.quantiles": [0.1, 0.5, 0.9], "search.space.loss": "mae"}, "search.space.loss: expected auto for "
         "data.quantiles, received 'mae'"),
        ({"data.quantiles": [0.1, 0.5, 0.9], "select.gates.references": True}, "select.gates.references: expected "
         "false for quantile_loss, because reference models predict no quantiles, received true"),
    ],
)  # fmt: skip
def test_quantiles_that_nothing_can_predict_are_told_before_a_run(params, iris, changes, told) -> None:
    put(iris, "data.task", "regression")
    for where, value in changes.items():
        put(iris, where, value)
    (problem,) = problems(params)
    assert problem.startswith(f"catalog/iris.yaml: {told}")


def test_quantiles_are_ranked_by_their_loss(params, iris) -> None:
    put(iris, "data.task", "regression")
    put(iris, "data.quantiles", [0.1, 0.5, 0.9])
    assert load_params(params, "iris").metric_for("regression") == "quantile_loss"
