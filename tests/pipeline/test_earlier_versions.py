"""An earlier version of a model beside later data: what it is scored on, and when it can be compared or served."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from mlflow.exceptions import INTERNAL_ERROR, INVALID_PARAMETER_VALUE, RESOURCE_DOES_NOT_EXIST, MlflowException

from contracts.bundle import MANIFEST, open_bundle
from contracts.errors import UserError
from contracts.metrics import BY_NAME
from contracts.schema import CategoricalFeature, ClassTarget, NumericFeature
from contracts.settings.load import load_params
from contracts.settings.sections import FineTune
from pipeline.commands import registry as commands
from pipeline.commands.repro import _row
from pipeline.data.row_ids import read_row_ids
from pipeline.data.splits import encode_rows
from pipeline.evaluation.contest import Contest, score_bundle
from pipeline.evaluation.gates.judge import Validation
from pipeline.evaluation.selection import Exclusion
from pipeline.paths import Paths
from pipeline.search.plan import study_name
from pipeline.stages import select
from pipeline.tables import TARGET
from pipeline.tracking import approval, registry
from tests.pipeline.judged import Judged
from tests.serving.bundles import PRICES, TICKETS, make_bundle

ROOT = Path(__file__).parents[2]


@pytest.fixture
def params():
    return load_params(ROOT / "params.yaml", "iris")


def with_ports(*ports: str, **changes):
    features = (*TICKETS.features[:2], CategoricalFeature(name="port", categories=ports, missing=False))
    sample = {"age": 22.0, "fare paid": 7.25, "port": ports[0]}
    return TICKETS.model_copy(update={"features": features, "sample": sample, **changes})


@pytest.fixture
def contest(params, tmp_path: Path) -> Contest:
    """Rows of a table with a new port, `Bari`, which is the first in the alphabet."""
    schema, r = with_ports("Bari", "Cork", "Deal"), np.random.default_rng(0)
    table = pa.table({
        "age": r.uniform(0, 80, 200), "fare paid": r.uniform(0, 500, 200), "port": r.choice(["Cork", "Deal"], 200),
        TARGET: r.choice(["first", "second", "third"], 200),
    })  # fmt: skip
    validation = Validation(table.drop_columns([TARGET]).to_pandas(), *encode_rows(table, schema))
    return Contest(params, Paths("tickets", tmp_path), schema, BY_NAME["log_loss"], table, validation, tmp_path)


def test_an_earlier_version_is_scored_in_its_own_codes(contest: Contest, tmp_path: Path) -> None:
    earlier = with_ports("Cork", "Deal")
    make_bundle(earlier, tmp_path / "earlier")
    scored = score_bundle(contest, "version 1", tmp_path / "earlier", earlier)
    rows, y = encode_rows(contest.table, earlier)
    assert set(rows[:, 2]) == {1, 2}
    assert set(contest.validation.rows[:, 2]) == {2, 3}
    np.testing.assert_array_equal(scored.predictions, scored.predictor.predict(rows))
    assert scored.contender.value == pytest.approx(BY_NAME["log_loss"].compute(y, scored.predictor.predict(rows)))


@pytest.mark.parametrize(
    ("changes", "exclusion"),
    [
        ({}, None),
        ({"target": PRICES.target, "task": "regression"}, Exclusion.CLASSES),
        ({"target": TICKETS.target.model_copy(update={"classes": ("a", "b", "c")})}, Exclusion.CLASSES),
    ],
    ids=["the same", "another task", "other classes"],
)
def test_what_predicts_something_else_is_not_compared(contest: Contest, tmp_path: Path, changes, exclusion) -> None:
    known = with_ports("Cork", "Deal", **changes)
    make_bundle(known, tmp_path / "known")
    manifest = open_bundle(tmp_path / "known")[0]
    assert select._exclusion(contest, manifest, known, tmp_path / "known", manifest.train_md5) == exclusion


@pytest.mark.parametrize("gap_in", ["train", "validation"])
def test_a_row_of_whole_numbers_is_recognised_whichever_file_has_a_gap(tmp_path: Path, gap_in: str) -> None:
    for part, numbers in (("train", [1, 2, 3, 4]), ("validation", [2, 3, 4, 5])):
        column = pa.array([*numbers, *([None] if part == gap_in else [])])
        rows = {"n": column, "other": ["x"] * len(column), TARGET: [0] * len(column)}
        pq.write_table(pa.table(rows), tmp_path / f"{part}.parquet")
    trained_on = read_row_ids(tmp_path / "train.parquet")
    now = read_row_ids(tmp_path / "validation.parquet", {"n"} if gap_in == "train" else set(), {"n"})
    assert np.isin(now, trained_on).sum() == 3


@pytest.mark.parametrize("metric", ["mape", "rmsle"])
def test_a_group_with_an_undefined_value_fails_the_gate(tmp_path: Path, metric: str) -> None:
    judged = Judged(PRICES, tmp_path)
    judged.frame["kind"] = "all"
    rule = {"metric": metric, "limit": 0.5, "rows": 30}
    y = np.abs(judged.right) + 1
    judged.right = y.copy()
    assert "worst_slices" in judged(worst_slices=rule)
    judged.right[::40] = 0 if metric == "mape" else -5
    verdict = judged(worst_slices=rule)["worst_slices"]
    assert not verdict.passed
    assert "nan" in verdict.figure


def test_a_dataset_whose_trials_are_gone_is_not_run_yet(tmp_path: Path) -> None:
    paths = Paths("iris", tmp_path)
    for file in (paths.metrics, paths.selection):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps({"test": {"accuracy": 1}, "version": "1"}))
    assert _row(paths) == ["not run yet"]


def test_a_version_that_does_not_fit_the_present_data_is_refused_before_it_is_served(tmp_path: Path) -> None:
    paths = Paths("tickets", tmp_path)
    paths.prepared.mkdir(parents=True)
    present = with_ports("Cork", "Deal")
    present.save(paths.prepared / "schema.json")
    pq.write_table(pa.table({"age": [1.0], "fare paid": [2.0], "port": ["Cork"], TARGET: ["first"]}),
                   paths.prepared / "validation.parquet")  # fmt: skip
    commands._check_fits("tickets", "1", present, paths)
    few = ClassTarget(name="class", classes=("first", "second"), frequencies=(0.5, 0.5))
    number = NumericFeature(name="port", minimum=0, maximum=1, mean=0, std=1, median=0, missing=False)
    for known, told in (
        (TICKETS, "the column deck is gone"),
        (present.model_copy(update={"target": few}), "the class third is new"),
        (
            present.model_copy(update={"features": (*present.features[:2], number)}),
            "port was numeric and is categorical now",
        ),
        (PRICES, "the column a is gone; .*it predicts price"),
    ):
        with pytest.raises(UserError, match=f"version 1 of tickets does not fit the present data: .*{told}"):
            commands._check_fits("tickets", "1", known, paths)


def test_another_network_to_fine_tune_begins_another_study(params, tmp_path: Path) -> None:
    tuned = FineTune(bundle=str(tmp_path), layers=1, frozen=False)
    params = params.model_copy(update={"train": params.train.model_copy(update={"fine_tune": tuned})})
    names = set()
    for content in ("one", "another"):
        (tmp_path / MANIFEST).write_text(content)
        names |= {study_name(params, "accuracy", {}), study_name(params, "accuracy", {})}
    assert len(names) == 2


@pytest.mark.parametrize("code", [RESOURCE_DOES_NOT_EXIST, INVALID_PARAMETER_VALUE, INTERNAL_ERROR])
def test_only_an_answer_says_that_there_is_no_champion(code: int) -> None:
    def fail(*_):
        raise MlflowException("the server is away", code)

    client = SimpleNamespace(get_model_version_by_alias=fail)
    if code == INTERNAL_ERROR:
        with pytest.raises(UserError, match=r"MLflow does not say which version of iris is the champion: .*away"):
            registry.champion(client, "iris")
    else:
        assert registry.champion(client, "iris") is None


def test_a_champion_that_cannot_be_fetched_now_is_not_replaced(contest: Contest, monkeypatch) -> None:
    def fail(*_):
        raise MlflowException("the store is away", INTERNAL_ERROR)

    version = SimpleNamespace(version="3")
    client = SimpleNamespace(get_model_version_by_alias=lambda *_: version)
    monkeypatch.setattr(registry, "download_bundle", fail)
    for address, is_away in (("s3://models/3", True), ("mlflow-artifacts:/3", True), ("/var/mlruns/3", False)):
        client.get_model_version_download_uri = lambda *_, address=address: address
        if is_away:
            with pytest.raises(UserError, match="version 3 of iris, the champion, cannot be downloaded, so nothing is"):
                select._champion(contest, client, SimpleNamespace(train_md5="0"))
        else:
            champion = select._champion(contest, client, SimpleNamespace(train_md5="0"))
            assert champion.contender.exclusion == Exclusion.UNREADABLE


def test_a_champion_of_somebody_else_is_not_replaced_unseen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.setattr(registry, "champion", lambda *_: "2")
    monkeypatch.setattr(approval, "approvals", lambda *_: [("2026-01-01", "Ada: better")])
    with pytest.raises(UserError, match=r"from version 1 to version 2 \(2026-01-01 Ada: better\) meanwhile"):
        approval.replace_champion(SimpleNamespace(), "iris", "3", "1", approval.AUTOMATIC, "better")
