"""The settings: what is right is read, and everything that is wrong is told at once, with its file."""

import os
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from contracts.errors import UserError
from contracts.settings.load import load_datasets, load_params
from tests.settings_files import ROOT, change_yaml, copy_settings

REAL = ROOT / "params.yaml"
# Each mapping merges the one before it nine times.
MERGES = "\n".join(
    f"a{n}: &a{n} {{{'<<: [' + ', '.join([f'*a{n - 1}'] * 9) + ']' if n else 'x: 1'}}}" for n in range(30)
).encode()


def put(path: Path, where: str, value: object) -> None:
    """Set one key of a YAML file."""

    def change(content) -> None:
        *parents, key = where.split(".")
        for parent in parents:
            content = content.setdefault(parent, {})
        content[key] = value

    change_yaml(path, change)


@pytest.fixture
def params(tmp_path: Path) -> Path:
    """A copy of the settings, which a test may spoil."""
    return copy_settings(tmp_path)


@pytest.fixture
def iris(params: Path) -> Path:
    return params.parent / "catalog/iris.yaml"


def problems(params: Path, *, dataset: str = "iris") -> list[str]:
    """What is said about the settings, a line for each problem."""
    with pytest.raises(UserError, match="nothing was run") as refusal:
        load_params(params, dataset)
    first, *lines = str(refusal.value).splitlines()
    count = "1 problem" if len(lines) == 1 else f"{len(lines)} problems"
    assert first == f"the settings have {count}, nothing was run:"
    return [line.strip() for line in lines]


def test_the_files_of_the_project_are_right_for_every_dataset() -> None:
    names = [path.stem for path in (ROOT / "catalog").glob("*.yaml")]
    assert len(names) >= 11
    for dataset in names:
        assert load_params(REAL, dataset).dataset == dataset
    assert load_datasets(REAL) == ["iris", "digits", "diabetes"]


def test_no_file_of_the_catalog_has_an_empty_section() -> None:
    for path in (ROOT / "catalog").glob("*.yaml"):
        assert all(YAML(typ="safe").load(path).values()), path


def test_parameters_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load_params(REAL, "iris").search.n_trials = 3


def test_overrides_change_one_dataset_and_no_other() -> None:
    mnist, iris = load_params(REAL, "mnist"), load_params(REAL, "iris")
    assert mnist.train.epochs != iris.train.epochs
    assert mnist.search.space["batch_size"] == 256
    assert "batch_size" not in iris.search.space
    assert mnist.search.space["activation"] == iris.search.space["activation"]


def test_a_dataset_is_one_file_more(params) -> None:
    (params.parent / "catalog/churn_2024.yaml").write_text(
        "data: {source: csv, task: binary, target: churn, addresses: ['http://x/{file}'], files: {a.csv: "
        + "a" * 64
        + "}}\n"
    )
    assert load_params(params, "churn_2024").source.target == "churn"


def test_a_section_whose_keys_are_all_commented_out_overrides_nothing(params, iris) -> None:
    iris.write_text(iris.read_text() + "train:\n  # epochs: 3\n")
    assert load_params(params, "iris") == load_params(REAL, "iris")


def test_the_metric_follows_the_task_unless_it_is_named() -> None:
    assert load_params(REAL, "iris").metric_for("multiclass") == "log_loss"
    assert load_params(REAL, "diabetes").metric_for("regression") == "rmse"
    assert load_params(REAL, "digits").metric_for("multiclass") == "accuracy"


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
        ("search.metric", "acuracy", "expected one of auto, log_loss, accuracy, roc_auc, "
         "pr_auc, brier, f1, macro_f1, balanced_accuracy, rmse, mae, r2, rmsle, mape, "
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


def test_what_is_wrong_for_every_dataset_is_told_once(params) -> None:
    put(params, "search.n_trials", None)
    assert problems(params) == [
        "params.yaml: search: expected a number for n_trials or timeout or both, received null for both"
    ]


@pytest.mark.parametrize(
    ("file", "where", "told"),
    [
        ("params.yaml", "serach", "received 'serach'; did you mean 'search'?"),
        ("params.yaml", "search.n_trails", "received 'n_trails'; did you mean 'n_trials'?"),
        ("params.yaml", "search.space.witdh", "received 'witdh'; did you mean 'width'?"),
        ("params.yaml", "search.space.width.hihg", "received 'hihg'; did you mean 'high'?"),
        ("catalog/iris.yaml", "trian", "received 'trian'; did you mean 'train'?"),
        ("catalog/iris.yaml", "search.n_trails", "received 'n_trails'; did you mean 'n_trials'?"),
        ("catalog/iris.yaml", "search.space.witdh", "received 'witdh'; did you mean 'width'?"),
        ("catalog/iris.yaml", "data.tsak", "received 'tsak'; did you mean 'task'?"),
        ("catalog/digits.yaml", "data.image.heigth", "received 'heigth'; did you mean 'height'?"),
        ("spaces.yaml", "material.dropuot", "received 'dropuot'; did you mean 'dropout'?"),
    ],
)
def test_an_unknown_key_is_told_with_its_file_and_the_nearest_known_one(params, file, where, told) -> None:
    put(params.parent / file, where, {})
    assert problems(params) == [f"{file}: {where}: expected a known key, {told}"]


def test_an_override_of_a_section_that_has_none_is_told_with_those_that_have(params, iris) -> None:
    put(iris, "package", {"workers": 2})
    assert problems(params) == [
        "catalog/iris.yaml: package: expected one of data, preprocess, search, select, train, received 'package'"
    ]


def test_a_key_of_another_pruner_or_distribution_is_told_with_those_of_this_one(params, iris) -> None:
    put(iris, "search.pruner", {"type": "median", "patience": 3})
    put(iris, "search.space.optimizer", {"type": "categorical", "choices": ["adam"], "low": 1})
    assert problems(params) == [
        "catalog/iris.yaml: search.pruner.patience: expected one of startup_trials, type, received 'patience'",
        "catalog/iris.yaml: search.space.optimizer.low: expected one of choices, default, type, when, received 'low'",
    ]


def test_a_missing_key_is_named(params, iris) -> None:
    change_yaml(params, lambda content: (content["train"].pop("patience"), content.pop("select")))
    change_yaml(iris, lambda content: content.pop("data"))
    assert problems(params) == [
        "params.yaml: train.patience: expected a value, received none",
        "params.yaml: select: expected a value, received none",
        "catalog/iris.yaml: data: expected a value, received none",
    ]


def test_a_missing_hyperparameter_is_named(params) -> None:
    change_yaml(params, lambda content: content["search"]["space"].pop("width"))
    assert any("without a default, missing width" in line for line in problems(params))


def test_a_space_is_named_for_all_or_for_one_dataset(params, iris) -> None:
    put(iris, "search.space", "material")
    assert load_params(params, "iris").search.space["depth"].high == 8
    assert "numeric" not in load_params(params, "wine").search.space
    put(params, "search.space", "material")
    put(iris, "search.space", {"batch_size": 64})
    space = load_params(params, "iris").search.space
    assert (space["depth"].high, space["batch_size"]) == (8, 64)


@pytest.mark.parametrize(
    ("space", "told"),
    [
        ("materiel", "search.space: expected hyperparameters, or a name in spaces.yaml (material, auto), "
         "received 'materiel'; did you mean 'material'?"),
        (3, "search.space: expected hyperparameters, or a name in spaces.yaml (material, auto), received 3"),
        ("material", "search.space: material.dropout: expected less than 1, received 1.0"),
    ],
)  # fmt: skip
def test_a_space_that_is_none_is_refused(params, iris, space, told) -> None:
    put(params.parent / "spaces.yaml", "material.dropout", 1.0)
    put(iris, "search.space", space)
    assert problems(params) == [f"catalog/iris.yaml: {told}"]


def test_everything_that_is_wrong_in_every_file_is_told_at_once(params) -> None:
    put(params, "datasets", ["iris", "digit", "iris"])
    put(params, "search.n_trials", "many")
    put(params.parent / "catalog/wine.yaml", "search.keep", "all")
    put(params.parent / "catalog/iris.yaml", "trian", {})
    (params.parent / "catalog/mnist.yaml").write_text("data: [1, 2")
    (params.parent / "catalog/My data.yaml").write_text("")
    (params.parent / "catalog/housing.yml").write_text("")
    name = "expected a file name of up to 64 of the characters a-z, 0-9 and _, then .yaml, received"
    assert problems(params) == [
        f"catalog/My data.yaml: {name} 'My data.yaml'",
        f"catalog/housing.yml: {name} 'housing.yml'",
        "catalog/mnist.yaml: expected valid YAML, received expected ',' or ']', but got '<stream end>' in line 1",
        "catalog/iris.yaml: trian: expected a known key, received 'trian'; did you mean 'train'?",
        "params.yaml: datasets: expected each name once, received 'iris' 2 times",
        "params.yaml: datasets: expected a file catalog/digit.yaml, received none; did you mean 'digits'?",
        "params.yaml: search.n_trials: expected a valid integer, received 'many'",
        "catalog/wine.yaml: search.keep: expected a valid integer, received 'all'",
    ]


@pytest.mark.parametrize("datasets", [[], "iris", None, [1], {"iris": 1}])
def test_datasets_that_are_no_list_of_names_are_refused(params, datasets) -> None:
    put(params, "datasets", datasets)
    assert problems(params) == [
        f"params.yaml: datasets: expected a list of names of files in catalog/, received {datasets!r}"
    ]


@pytest.mark.parametrize("dataset", ["wines", "../iris", "", "IRIS"])
def test_a_dataset_asked_for_must_be_in_the_catalog(dataset: str) -> None:
    with pytest.raises(UserError, match=r"^expected a dataset of catalog/ \(breast_cancer, .*, wine\), received"):
        load_params(REAL, dataset)
    with pytest.raises(UserError, match="did you mean 'wine'"):
        load_params(REAL, "wines")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"search: [1, 2", "expected valid YAML, received expected ',' or ']', but got '<stream end>' in line 1"),
        (b"a: 1\nsearch: {}\nsearch: {}\n", 'expected valid YAML, received found duplicate key "search" in line 3'),
        (b"a: !!python/object/apply:os.system ['true']", "expected valid YAML, received could not determine a "
         "constructor for the tag 'tag:yaml.org,2002:python/object/apply:os.system' in line 1"),
        (b"- a\n- b\n", "expected a mapping of sections, received ['a', 'b']"),
        (b"", "expected a mapping of sections, received None"),
        (b"a: \xff\xfe", "expected UTF-8, received other bytes at position 3"),
        (b"a: \x00", "expected valid YAML, received unacceptable character #x0000: "
         "special characters are not allowed"),
        (b"a: " + b"[" * 5000, "expected a few levels of nesting, received too many"),
        (b"a: " + b"{b: " * 5000, "expected a few levels of nesting, received too many"),
        (b"a: " + b"9" * 5000, "expected values that can be read, received Exceeds the limit (4300 digits) for integer "
         "string conversion: value has 5000 digits"),
        (b"0x" + b"f" * 5000 + b": 1", "expected values that can be read, received a number of hundreds of digits"),
        (b"a: 2024-13-45", "expected values that can be read, received month must be in 1..12"),
        (b"a:\n\t- b", "expected valid YAML, received found character '\\t' that cannot start any token in line 2"),
        (b"#" * 300_000, "expected at most 256 KiB, received more"),
        (MERGES, "expected values that can be read, received aliases that make more than 100,000 values"),
    ],
    ids=["not closed", "a key twice", "a tag", "a list", "empty", "no UTF-8", "a NUL", "deep", "deep maps", "huge",
         "a huge key", "a date", "a tab", "too large", "merges"],
)  # fmt: skip
@pytest.mark.parametrize("file", ["params.yaml", "spaces.yaml", "catalog/iris.yaml"])
def test_a_file_that_is_no_plain_yaml_mapping_is_refused_in_one_line(params, file: str, content: bytes, told) -> None:
    (params.parent / file).write_bytes(content)
    (line,) = problems(params)
    assert line.startswith(f"{file}: {told}")


def test_a_pipe_in_the_place_of_a_file_is_told_and_not_waited_for(params, iris) -> None:
    iris.unlink()
    os.mkfifo(iris)
    assert problems(params) == ["catalog/iris.yaml: expected a file that can be read, received a pipe"]


def test_a_key_of_any_length_and_with_any_signs_is_told_in_one_short_line(params, iris) -> None:
    put(iris, "tr\nain\u2028" + "x" * 10_000, {})
    (line,) = problems(params)
    assert line.startswith(r"catalog/iris.yaml: tr\nain\u2028xxx")
    assert len(line) < 1000


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


def test_a_dataset_that_scikit_learn_lacks_and_files_of_another_name_are_told(params) -> None:
    (params.parent / "catalog/files.yaml").write_text("data: {source: scikit-learn, task: multiclass}\n")
    change_yaml(params.parent / "catalog/mnist.yaml", lambda c: c["data"]["files"].update({"more.gz": "0" * 64}))
    lines = problems(params)
    assert lines[0].startswith("catalog/files.yaml: data: expected source: a file or an address; scikit-learn has iris")
    assert lines[1].startswith("catalog/mnist.yaml: data: expected the files train-images-idx3-ubyte.gz, ")


@pytest.mark.parametrize("file", ["params.yaml", "spaces.yaml", "catalog/iris.yaml"])
def test_a_folder_in_the_place_of_a_file_and_a_missing_file_are_told(params, file: str) -> None:
    path = params.parent / file
    path.unlink()
    if not file.startswith("catalog/"):
        assert problems(params) == [f"{file}: expected a file that can be read, received No such file or directory"]
    path.mkdir()
    assert problems(params) == [f"{file}: expected a file that can be read, received Is a directory"]


def test_a_missing_catalog_is_told_by_the_names_that_ask_for_it(params) -> None:
    (params.parent / "catalog").rename(params.parent / "catalogue")
    assert problems(params)[0] == "params.yaml: datasets: expected a file catalog/iris.yaml, received none"


def test_yaml_that_refers_to_itself_is_refused(params, iris) -> None:
    iris.write_text(iris.read_text() + "train: &loop {class_weights: *loop}\n")
    told = "expected values that can be read, received aliases that make more than 100,000 values"
    assert problems(params) == [f"catalog/iris.yaml: {told}"]


def test_a_file_that_grows_when_it_is_written_out_is_refused_in_a_short_line(params, iris) -> None:
    bomb = "\n".join(f"  a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9) if n else 1}]" for n in range(30))
    iris.write_text(iris.read_text() + f"train:\n{bomb}\n")
    assert max(len(line) for line in problems(params)) < 500


def test_a_key_that_is_no_text_is_refused(params, iris) -> None:
    iris.write_text(iris.read_text() + "train: {1: 2}\n3: 4\n")
    assert [line.partition(" expected ")[0] for line in problems(params)] == [
        "catalog/iris.yaml: 3:", "catalog/iris.yaml: train.1:"
    ]  # fmt: skip


def test_an_expected_sha256_that_is_none_is_refused(params) -> None:
    housing = params.parent / "catalog/housing.yaml"
    change_yaml(housing, lambda content: content["data"].update(files={"housing.csv": "abc"}))
    assert problems(params) == [
        "catalog/housing.yaml: data.files.housing.csv: expected String should match pattern '^[0-9a-f]{64}$', "
        "received 'abc'"
    ]
    change_yaml(housing, lambda content: content["data"].update(files={"../housing.csv": "a" * 64}))
    assert problems(params) == ["catalog/housing.yaml: data: expected a plain file name, received '../housing.csv'"]


def test_numbers_are_read_as_dvc_reads_them(params) -> None:
    params.write_text(params.read_text().replace("minimum_gain: 0.0 ", "minimum_gain: 1e-3 "))
    assert load_params(params, "iris").select.minimum_gain == 0.001
