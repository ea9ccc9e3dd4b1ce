"""params.yaml: what is right is read, and everything that is wrong is told at once."""

import copy
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from contracts.errors import UserError
from contracts.settings.load import load_datasets, load_params

REAL = Path(__file__).parent.parent.parent / "params.yaml"


@pytest.fixture
def document() -> dict:
    return YAML(typ="safe").load(REAL)


@pytest.fixture
def refused(tmp_path: Path):
    """Write a document, and return what is said about it."""

    def write_and_load(document: dict | str) -> str:
        path = tmp_path / "params.yaml"
        if isinstance(document, str):
            path.write_text(document)
        else:
            YAML().dump(document, path)
        with pytest.raises(UserError) as refusal:
            load_params(path, "iris")
        assert [item.name for item in tmp_path.iterdir()] == ["params.yaml"]
        return str(refusal.value)

    return write_and_load


def test_the_file_of_the_project_is_right_for_every_dataset(document) -> None:
    for dataset in document["catalog"]:
        assert load_params(REAL, dataset).dataset == dataset
    assert load_datasets(REAL) == ["iris", "digits", "diabetes"]


def test_every_key_of_the_stages_has_a_comment_that_says_what_it_is() -> None:
    text = REAL.read_text()
    sections = text[text.index("\nfetch:") : text.index("# What differs for one dataset")]
    keys = [line for line in sections.splitlines() if line.startswith("  ") and ":" in line]
    assert len(keys) > 20
    assert [line for line in keys if "#" not in line] == []


def test_parameters_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load_params(REAL, "iris").search.n_trials = 3


def test_overrides_change_one_dataset_and_no_other() -> None:
    mnist, iris = load_params(REAL, "mnist"), load_params(REAL, "iris")
    assert mnist.train.epochs != iris.train.epochs
    assert mnist.search.space["batch_size"] == 256
    assert iris.search.space["batch_size"] == 32
    assert mnist.search.space["activation"] == iris.search.space["activation"]


def test_the_metric_follows_the_task_unless_it_is_named() -> None:
    assert load_params(REAL, "iris").metric == "log_loss"
    assert load_params(REAL, "diabetes").metric == "rmse"
    assert load_params(REAL, "digits").metric == "accuracy"


@pytest.mark.parametrize(
    ("where", "value", "told"),
    [
        ("search.n_trials", "many", ["search.n_trials: expected", "integer", "received 'many'"]),
        ("search.n_trials", 0, ["search.n_trials: expected greater than or equal to 1, received 0"]),
        ("search.n_trials", True, ["search.n_trials: expected", "received True"]),
        ("search.n_trials", 1.5, ["search.n_trials: expected", "received 1.5"]),
        ("search.n_trials", None, ["search: expected a number for n_trials or timeout or both", "null for both"]),
        ("search.timeout", 0, ["search.timeout: expected greater than 0, received 0"]),
        ("search.timeout", "10m", ["search.timeout: expected", "received '10m'"]),
        ("search.workers", 0, ["search.workers", "received 0"]),
        ("search.trial_timeout", 0, ["search.trial_timeout: expected greater than 0, received 0"]),
        ("search.scheduler", "host:8786", ["search.scheduler: expected null or the address", "received 'host:8786'"]),
        ("search.metric", "acuracy", ["search.metric", "'accuracy'", "received 'acuracy'"]),
        ("search.metric", "rmse", ["search.metric: expected one of accuracy, log_loss, received 'rmse'"]),
        ("preprocess.test_fraction", 0.0, ["preprocess.test_fraction: expected greater than 0, received 0.0"]),
        ("preprocess.test_fraction", float("nan"), ["preprocess.test_fraction", "received nan"]),
        ("preprocess.test_fraction", 0.9, ["preprocess: expected test_fraction + validation_fraction below 1"]),
        ("train.epochs", -3, ["train.epochs: expected greater than or equal to 1, received -3"]),
        ("fetch.timeout", "30", ["fetch.timeout: expected", "received '30'"]),
        ("evaluate.confidence", 1, ["evaluate.confidence: expected less than 1"]),
        ("search.space.width", {"type": "int", "low": 9, "high": 3}, ["search.space.width", "low 9 and high 3"]),
        (
            "search.space.learning_rate",
            {"type": "float", "low": 0.0, "high": 0.1, "log": True},
            ["search.space.learning_rate", "low above 0 on a log scale, received low 0.0"],
        ),
        ("search.space.width", {"type": "integer"}, ["search.space.width", "'int'", "integer"]),
        ("search.space.optimizer", {"type": "categorical", "choices": []}, ["search.space.optimizer.choices"]),
        ("search.space.activation", "rleu", ["search.space.activation", "relu", "'rleu'"]),
        ("search.space.learning_rate", -0.1, ["search.space.learning_rate", "greater than 0", "-0.1"]),
        ("search.space.depth", {"type": "int", "low": -1, "high": 3}, ["search.space.depth", "-1"]),
        (
            "search.space.optimizer",
            {"type": "categorical", "choices": ["adam", "adman"]},
            ["search.space.optimizer: expected", "'adman'"],
        ),
    ],
)
def test_a_wrong_value_is_told_with_its_key(document, refused, where: str, value, told: list[str]) -> None:
    *parents, key = where.split(".")
    section = document
    for parent in parents:
        section = section[parent]
    section[key] = value
    message = refused(document)
    assert "nothing was run" in message
    for part in told:
        assert part in message


@pytest.mark.parametrize(
    ("where", "key", "nearest"),
    [
        ("", "serach", "search"),
        ("search", "n_trails", "n_trials"),
        ("search.space", "witdh", "width"),
        ("overrides", "irs", "iris"),
        ("overrides.iris", "trian", "train"),
        ("overrides.iris.search", "n_trails", "n_trials"),
        ("catalog.iris", "tsak", "task"),
    ],
)
def test_an_unknown_key_is_told_with_the_nearest_known_one(
    document, refused, where: str, key: str, nearest: str
) -> None:
    section = document
    for part in filter(None, where.split(".")):
        section = section[part]
    section[key] = {}
    message = refused(document)
    assert f"{where}.{key}".lstrip(".") in message
    assert f"did you mean {nearest!r}?" in message


def test_a_missing_key_is_named(document, refused) -> None:
    del document["train"]["patience"]
    assert "train.patience: expected, but missing" in refused(document)
    del document["select"]
    assert "select: expected, but missing" in refused(document)


def test_a_missing_hyperparameter_is_named(document, refused) -> None:
    del document["search"]["space"]["width"]
    assert "missing width" in refused(document)


def test_a_space_is_named_for_all_or_for_one_dataset(document, tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    document["overrides"]["iris"]["search"] = {"space": "material"}
    YAML().dump(document, path)
    assert load_params(path, "iris").search.space["depth"].high == 8
    assert "initializer" not in load_params(path, "wine").search.space
    document["search"]["space"] = "material"
    document["overrides"]["iris"]["search"] = {"space": {"batch_size": 64}}
    YAML().dump(document, path)
    space = load_params(path, "iris").search.space
    assert (space["depth"].high, space["batch_size"]) == (8, 64)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"space": "materiel"}, "received 'materiel'; did you mean 'material'?"),
        ({"space": 3}, "overrides.iris.search.space: expected distributions and values, or a name of spaces (material"),
        ({"space": "broken"}, "overrides.iris.search.space: broken: dropout: expected less than 1"),
    ],
)
def test_a_space_that_is_none_is_refused(document, refused, change, told) -> None:
    document["spaces"]["broken"] = {**document["spaces"]["material"], "dropout": 1.0}
    document["overrides"]["iris"]["search"] = change
    assert told in refused(document)
    document["spaces"] = {"material": {**document["spaces"]["material"], "dropuot": 0.1}}
    assert "spaces.material.dropuot: unknown key; did you mean 'dropout'?" in refused(document)


def test_all_problems_are_told_in_one_message(document, refused) -> None:
    document["search"]["n_trials"] = "many"
    document["train"]["epochs"] = 0
    document["overrides"]["wine"]["search"]["keep"] = "all"
    message = refused(document)
    for part in ("search.n_trials", "train.epochs", "overrides.wine.search.keep", "3 problems"):
        assert part in message


def test_a_dataset_that_the_catalog_does_not_have_is_named_with_the_nearest(document, refused) -> None:
    document["datasets"] = ["iris", "digit"]
    assert "did you mean 'digits'?" in refused(document)
    document["datasets"] = ["iris", "iris"]
    assert "expected each name once" in refused(document)
    document["datasets"] = []
    assert "datasets: expected a list of names" in refused(document)


def test_a_dataset_asked_for_must_be_in_the_catalog() -> None:
    with pytest.raises(UserError, match="did you mean 'wine'"):
        load_params(REAL, "wines")


@pytest.mark.parametrize(
    "text",
    [
        "search: [1, 2",
        "search: {n_trials: 1}\nsearch: {n_trials: 2}\n",
        "search: !!python/object/apply:os.system ['true']",
        "- a\n- b\n",
        "",
    ],
    ids=["not closed", "a key twice", "a tag", "a list", "empty"],
)
def test_a_file_that_is_no_plain_yaml_mapping_is_refused(refused, text: str) -> None:
    assert "params.yaml" in refused(text)


def test_an_expected_sha256_that_is_none_is_refused(document, refused) -> None:
    document["catalog"]["housing"]["files"] = {"housing.csv": "abc"}
    assert "catalog.housing.files.housing.csv" in refused(document)
    document["catalog"]["housing"]["files"] = {"../housing.csv": "a" * 64}
    assert "plain file name" in refused(document)


def test_numbers_are_read_as_dvc_reads_them(document, tmp_path: Path) -> None:
    changed = copy.deepcopy(document)
    changed["search"]["space"]["learning_rate"] = 1
    path = tmp_path / "params.yaml"
    YAML().dump(changed, path)
    path.write_text(path.read_text().replace("learning_rate: 1\n", "learning_rate: 1e-3\n", 1))
    assert load_params(path, "iris").search.space["learning_rate"] == 0.001
