"""What the data decides where a search space leaves it open, and what a space decides itself."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from contracts.errors import UserError
from contracts.settings.load import Choices, Source, load_params
from models.search.plan import resolve_epochs
from models.search.space import default_configuration
from pipeline.data.schema_inference import infer_schema
from pipeline.paths import Paths
from pipeline.search.plan import make_plan
from pipeline.tables import TARGET, write_rows

ROOT = Path(__file__).parents[2]
SKEWED, EVEN = np.geomspace(1, 1e4, 40), np.linspace(1, 2, 40)
NUMBERS, COLOURS = np.arange(40.0), np.array(["red", "green"] * 20)


@pytest.fixture
def space_of(tmp_path: Path):
    """The space that is searched for these targets, with so many intervals for each number."""

    def planned(
        target: np.ndarray, bins: int = 0, copies: int = 1, metric: str = "rmse", column=NUMBERS, **space
    ) -> dict:
        rows = pa.table({"a": np.tile(column, copies), TARGET: np.tile(target, copies)})
        params = load_params(ROOT / "params.yaml", "diabetes")
        search = params.search.model_copy(update={"space": {**params.search.space, **space}, "metric": metric})
        paths = Paths("diabetes", tmp_path)
        paths.prepared.mkdir(parents=True)
        for part in ("train", "validation"):
            write_rows(paths.prepared / f"{part}.parquet", rows)
        source = Source(source="scikit-learn", task="regression")
        infer_schema("diabetes", source, rows, "md5", bins).save(paths.prepared / "schema.json")
        return make_plan(params.model_copy(update={"search": search}), paths).search.space

    return planned


@pytest.mark.parametrize(
    ("dataset", "name", "target", "told"),
    [
        ("diabetes", "mape", [0.0, 2.0] * 10, "expected targets other than 0 among the validation rows of diabetes for "
         "mape, received 20 rows with targets from 0 to 2"),
        ("diabetes", "rmsle", [-1.0, 2.0] * 10, "expected targets of 0 or more among the validation rows of diabetes "
         "for rmsle, received 20 rows with targets from -1 to 2"),
        ("breast_cancer", "roc_auc", ["no"] * 20, "expected rows of every class among the validation rows of "
         "breast_cancer for roc_auc, received 20 of no, 0 of yes"),
    ],
)  # fmt: skip
def test_a_metric_that_the_validation_rows_do_not_define_is_refused(tmp_path, dataset, name, target, told) -> None:
    params, paths = load_params(ROOT / "params.yaml", dataset), Paths(dataset, tmp_path)
    paths.prepared.mkdir(parents=True)
    rows = pa.table({"a": np.arange(20.0), TARGET: [*target[:-1], "yes"] if dataset == "breast_cancer" else target})
    infer_schema(dataset, params.source, rows, "md5").save(paths.prepared / "schema.json")
    for part in ("train", "validation"):
        write_rows(paths.prepared / f"{part}.parquet", pa.table({"a": np.arange(20.0), TARGET: target}))
    search = params.search.model_copy(update={"metric": name})
    with pytest.raises(UserError, match=f"search.metric: {told}"):
        make_plan(params.model_copy(update={"search": search}), paths)


def either(*choices: str) -> Choices:
    return Choices(type="categorical", choices=choices)


@pytest.mark.parametrize(
    ("target", "space", "searched"),
    [
        (SKEWED, {}, ("log", "plain")),
        (SKEWED, {"target_scale": "plain"}, "plain"),
        (SKEWED, {"output": "softplus"}, None),
        (SKEWED - 2, {}, None),
        (EVEN, {}, None),
        (EVEN, {"target_scale": "log"}, "log"),
    ],
)
def test_both_scales_of_a_skewed_target_are_searched(space_of, target, space, searched) -> None:
    scale = space_of(target, **space).get("target_scale")
    assert (scale.choices if isinstance(scale, Choices) else scale) == searched


@pytest.mark.parametrize(
    ("metric", "first"), [("rmse", "plain"), ("mae", "plain"), ("r2", "plain"), ("rmsle", "log"), ("mape", "log")]
)
def test_a_skewed_target_is_tried_first_on_the_scale_on_which_the_metric_judges(space_of, metric, first) -> None:
    assert default_configuration(space_of(SKEWED, metric=metric))["target_scale"] == first


def test_numbers_with_intervals_are_searched_in_both_encodings(space_of) -> None:
    space = space_of(EVEN, bins=8)
    assert (space["numeric"], space["numeric_embedding"]) == (either("piecewise", "standardise"), 16)


@pytest.mark.parametrize("decided", [{"bins": 0}, {"bins": 8, "numeric": "quantile"}])
def test_an_encoding_is_not_searched_without_intervals_or_against_the_space(space_of, decided) -> None:
    space = space_of(EVEN, **decided)
    assert space.get("numeric") == decided.get("numeric")
    assert "numeric_embedding" not in space


def test_an_encoding_of_numbers_that_a_space_fixes_is_refused_on_a_table_without_any(space_of) -> None:
    told = "search.space.numeric: expected auto, none or standardise, because none of the 1 features of diabetes is a"
    with pytest.raises(UserError, match=told):
        space_of(EVEN, bins=8, column=COLOURS, numeric="piecewise")


def test_a_choice_of_encodings_suits_a_table_without_numbers(space_of) -> None:
    choice = either("piecewise", "standardise")
    assert space_of(EVEN, bins=8, column=COLOURS, numeric=choice)["numeric"] == choice


@pytest.mark.parametrize(("copies", "size"), [(1, 32), (200, 64), (2000, 256)])
def test_a_batch_grows_with_the_rows(space_of, copies, size) -> None:
    assert space_of(EVEN, copies=copies)["batch_size"] == size


@pytest.mark.parametrize(("n_rows", "most"), [(96, 200), (4_000, 80), (30_000, 85), (1_000_000, 50)])
def test_a_training_with_many_steps_has_fewer_epochs(n_rows, most) -> None:
    train = load_params(ROOT / "params.yaml", "diabetes").train
    assert resolve_epochs(train, n_rows) == most
    assert resolve_epochs(train.model_copy(update={"epochs": 7}), n_rows) == 7


def test_a_batch_size_of_the_space_stays(space_of) -> None:
    assert space_of(EVEN, batch_size=7)["batch_size"] == 7


def test_intervals_are_fitted_from_a_thousand_rows_on_unless_their_number_is_given() -> None:
    settings = load_params(ROOT / "params.yaml", "diabetes")
    assert [settings.bins_for(n) for n in (999, 1000)] == [0, 48]
    five = settings.preprocess.model_copy(update={"bins": 5})
    assert settings.model_copy(update={"preprocess": five}).bins_for(10) == 5
