"""The settings: what is right is read, and everything that is wrong is told at once, with its file."""

import pytest
from ruamel.yaml import YAML

from contracts.errors import UserError
from contracts.settings.load import load_datasets, load_params
from tests.contracts.settings_problems import problems, put
from tests.settings_files import ROOT, change_yaml

REAL = ROOT / "params.yaml"


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


def test_a_dataset_that_scikit_learn_lacks_and_files_of_another_name_are_told(params) -> None:
    (params.parent / "catalog/files.yaml").write_text("data: {source: scikit-learn, task: multiclass}\n")
    change_yaml(params.parent / "catalog/mnist.yaml", lambda c: c["data"]["files"].update({"more.gz": "0" * 64}))
    lines = problems(params)
    assert lines[0].startswith("catalog/files.yaml: data: expected source: a file or an address; scikit-learn has iris")
    assert lines[1].startswith("catalog/mnist.yaml: data: expected the files train-images-idx3-ubyte.gz, ")


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
