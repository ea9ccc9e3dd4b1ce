"""What cannot be built is refused before any data is read, by the name of its key."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from contracts.bundle import Manifest, seal
from contracts.errors import UserError
from contracts.settings.load import load_params
from models.network.compatibility import number_problems, schema_problems
from pipeline.paths import Paths
from pipeline.search.plan import make_plan
from tests.settings_files import copy_settings, override


@pytest.fixture
def load(tmp_path):
    """Params of a dataset with some hyperparameters and train settings changed."""

    def changed(dataset="iris", train=None, **space):
        path = copy_settings(tmp_path)
        override(path, dataset, search={"space": space}, train=train or {})
        return load_params(path, dataset)

    return changed


@pytest.fixture
def check(tmp_path):
    """Plan a search on data of a schema."""

    def planned(params, schema):
        paths = Paths(params.dataset, tmp_path)
        paths.prepared.mkdir(parents=True, exist_ok=True)
        schema.save(paths.prepared / "schema.json")
        for part in ("train", "validation"):
            pq.write_table(pa.table({}), paths.prepared / f"{part}.parquet")
        make_plan(params, paths)

    return planned


@pytest.mark.parametrize(
    ("dataset", "space", "told"),
    [
        ("iris", {"family": "squential"}, "catalog/iris.yaml: search.space.family: expected 'sequential'"),
        ("iris", {"widht": 3}, "received 'widht'; did you mean 'width'?"),
        ("iris", {"width": 0}, "width"),
        ("iris", {"width": [8, 4, 2], "depth": 2}, "width: expected 2 widths"),
        ("iris", {"schedule": "exponential"}, "decay: expected a number for schedule: exponential"),
        ("iris", {"schedule": "plateau", "decay": 0.5}, "plateau_patience: expected a number"),
        ("iris", {"family": "wide_deep", "wide": []}, "wide"),
        ("iris", {"family": "wide_deep", "wide": ["petal width (cm)"]}, "deep: expected a list of features"),
        ("iris", {"auxiliary_weight": 0.1}, "auxiliary_weight: expected only with family: wide_deep"),
        ("iris", {"members": 4, "members_per_row": 3}, "members_per_row: expected a divisor of members: 4, received 3"),
        ("iris", {"members": 0}, "members: expected greater than or equal to 2"),
        ("iris", {"numeric": "pbld"}, "numeric_embedding: expected 2 or more for numeric: pbld, received 0"),
        ("iris", {"loss": "mse"}, "loss: expected cross_entropy for multiclass"),
        ("diabetes", {"output": "softmax"}, "output: expected linear or relu or softplus"),
        ("diabetes", {"output": "sigmoid"}, "bounds: expected [low, high]"),
        ("diabetes", {"label_smoothing": 0.1}, "label_smoothing: expected 0 for regression"),
        ("iris", {"dropout": {"type": "float", "low": 0.0, "high": 1.0}}, "dropout: expected less than 1"),
    ],
)
def test_a_network_that_cannot_be_is_refused_by_its_key(load, dataset, space, told):
    with pytest.raises(UserError, match="nothing was run") as refusal:
        load(dataset, **space)
    assert told in str(refusal.value)


@pytest.mark.parametrize(
    ("dataset", "space"),
    [
        ("iris", {"family": {"type": "categorical", "choices": ["sequential", "wide_deep", "ensemble"]}}),
        ("iris", {"width": [8, 4], "depth": 2}),
        ("diabetes", {"output": "sigmoid", "bounds": [0, 400]}),
        ("iris", {"schedule": "plateau", "decay": 0.5, "plateau_patience": 3}),
        ("iris", {"family": "ensemble", "members": 4, "members_per_row": 2, "clip_output": True}),
        ("iris", {"optimizer": "adamw", "schedule": "cosine", "warmup": 2, "ema": 0.99}),
    ],
)
def test_a_network_that_can_be_is_accepted(load, dataset, space):
    params = load(dataset, **space)
    assert space.keys() <= params.search.space.keys()


def test_names_that_the_data_does_not_have_are_refused_with_the_nearest(load, data_of, spec_of):
    schema, _ = data_of("multiclass")
    spec = spec_of(family="wide_deep", wide=("a", "color"), deep=("b",))
    assert schema_problems(spec, schema) == [
        "wide: expected features of tiny, received 'color'; did you mean 'colour'?"
    ]
    assert schema_problems(spec.model_copy(update={"wide": ("a", "colour")}), schema) == []


def test_embeddings_of_categories_are_refused_on_a_table_without_any(data_of, spec_of):
    schema, _ = data_of("binary")
    assert schema_problems(spec_of(categorical="embedding"), schema) == []
    numbers = schema.model_copy(update={"features": tuple(f for f in schema.features if f.kind == "numeric")})
    assert schema_problems(spec_of(categorical="by_size"), numbers) == []
    (problem,) = schema_problems(spec_of(categorical="embedding"), numbers)
    assert problem.startswith("categorical: expected one_hot or by_size, because none of the 2 features of tiny is")


@pytest.mark.parametrize("numeric", ["piecewise", "piecewise_sum", "periodic", "pbld"])
def test_embeddings_of_numbers_that_a_space_fixes_are_refused_on_a_table_without_any(numeric, load, data_of):
    schema, _ = data_of("binary")
    without = schema.model_copy(update={"features": tuple(f for f in schema.features if f.kind == "categorical")})
    fixed = load("iris", numeric=numeric, numeric_embedding=8).search.space
    problems = number_problems(fixed, without)
    assert [problem.partition(":")[0] for problem in problems] == ["numeric", "numeric_embedding"]
    assert f"none of the {len(without.features)} features of tiny is a number, received {numeric!r}" in problems[0]
    assert number_problems(fixed, schema) == []
    assert number_problems(load("iris", numeric="standardise").search.space, without) == []
    assert number_problems(fixed, data_of("binary", images=True)[0]) == []


def test_pixels_are_standardised_only_where_the_schema_knows_their_mean(data_of, spec_of):
    schema, _ = data_of("multiclass", images=True)
    old = schema.model_copy(update={"features": (schema.image.model_copy(update={"std": None}),)})
    assert schema_problems(spec_of(numeric="standardise"), schema) == []
    assert "preprocess again" in schema_problems(spec_of(numeric="standardise"), old)[0]
    assert schema_problems(spec_of(), old) == []


def test_constants_of_an_older_schema_are_asked_for_where_they_are_missing(data_of, spec_of):
    schema, _ = data_of("regression")
    features = (schema.features[0].model_copy(update={"quartiles": None}), *schema.features[1:])
    target = schema.target.model_copy(update={"minimum": None})
    old = schema.model_copy(update={"features": features, "target": target})
    spec = spec_of(numeric="robust", clip_output=True)
    assert schema_problems(spec, schema) == []
    assert [problem.split(":")[0] for problem in schema_problems(spec, old)] == ["numeric", "clip_output"]
    assert all("preprocess again" in problem for problem in schema_problems(spec, old))
    assert schema_problems(spec_of(), old) == []


def test_weights_for_a_class_that_does_not_exist_are_refused(load, check, data_of):
    schema, _ = data_of("multiclass")
    with pytest.raises(UserError, match=r"train.class_weights: expected classes among .*did you mean 'middle'"):
        check(load(train={"class_weights": {"midle": 2.0}}), schema)
    check(load(train={"class_weights": {"middle": 2.0}}), schema)
    with pytest.raises(UserError, match="expected none for multilabel"):
        check(load(train={"class_weights": "balanced"}), data_of("multilabel")[0])


def test_fine_tuning_from_what_is_no_bundle_is_refused(load, check, data_of, tmp_path):
    fine_tune = {"bundle": str(tmp_path / "nowhere"), "layers": 1, "frozen": True}
    with pytest.raises(UserError, match=r"train.fine_tune.bundle: expected a bundle"):
        check(load(train={"fine_tune": fine_tune}), data_of("multiclass")[0])


def test_fine_tuning_from_a_bundle_of_another_width_is_refused_and_from_one_of_the_same_is_not(
    load, check, data_of, spec_of, tmp_path
):
    schema, _ = data_of("multiclass")
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    schema.save(bundle / "schema.json")
    (bundle / "model.onnx").write_bytes(b"is not read")
    manifest = Manifest(
        dataset="tiny", task="multiclass", metric="log_loss", validation={"log_loss": 1.0},
        hyperparameters=spec_of(width=8).model_dump(), seed=0, threads=1, trial=0, study="s", best_epoch=0,
        n_parameters=1, train_md5="", validation_md5="", git_revision="", mlflow_run_id="", versions={},
    )  # fmt: skip
    seal(bundle, manifest)

    def checked(width: int, layers: int) -> None:
        fine_tune = {"bundle": str(bundle), "layers": layers, "frozen": False}
        check(load(train={"fine_tune": fine_tune}, depth=2, width=width), schema)

    checked(width=8, layers=2)
    with pytest.raises(UserError, match=r"train.fine_tune.bundle: expected hidden layers of \[16\].*received .*\[8\]"):
        checked(width=16, layers=1)
    with pytest.raises(UserError, match=r"train.fine_tune.layers: expected at most 2"):
        checked(width=8, layers=3)
