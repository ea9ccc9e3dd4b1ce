"""The gates of a team: what they find, what they refuse, and who becomes the champion then."""

from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from contracts.encoding import encode
from contracts.errors import UserError
from contracts.schema import DateFeature, DroppedColumn
from contracts.settings.gates import Gates
from contracts.settings.load import load_params
from pipeline.evaluation.gates.problems import gate_problems
from pipeline.paths import Paths
from pipeline.search.plan import make_plan
from pipeline.tables import TARGET, write_rows
from tests.pipeline.judged import Judged, N, frame_of
from tests.serving.bundles import PRICES, TICKETS
from tests.settings_files import copy_settings, override


@pytest.fixture(scope="module")
def tickets(tmp_path_factory) -> Judged:
    return Judged(TICKETS, tmp_path_factory.mktemp("gates"))


@pytest.fixture(scope="module")
def prices(tmp_path_factory) -> Judged:
    return Judged(PRICES, tmp_path_factory.mktemp("gates"))


def test_a_limit_is_reached_in_the_direction_of_its_metric(tickets, prices) -> None:
    some = np.arange(N) < 20
    found = tickets(some, values={"accuracy": 0.9, "log_loss": 0.1})
    assert (found["values.accuracy"].passed, found["values.log_loss"].passed) == (True, False)
    assert str(tickets(some, values={"accuracy": 0.91})["values.accuracy"]) == (
        "values.accuracy: accuracy 0.9, expected at least 0.91"
    )
    assert prices(some, values={"rmse": 0.4})["values.rmse"].passed
    assert not prices(some, values={"rmse": 0.3})["values.rmse"].passed


def test_the_worse_end_of_an_interval_is_below_the_figure_itself(tickets) -> None:
    some = np.arange(N) < 20
    assert not tickets(some, bounds={"accuracy": 0.9})["bounds.accuracy"].passed
    assert tickets(some, bounds={"accuracy": 0.85})["bounds.accuracy"].passed


def test_a_candidate_must_be_better_than_each_reference_where_asked(tickets) -> None:
    found = tickets(np.arange(N) < 20, references={"linear": 0.95, "boosting": 0.8})
    assert {gate: verdict.passed for gate, verdict in found.items()} == {
        "references.linear": False, "references.boosting": True
    }  # fmt: skip


def test_a_slice_by_value_or_by_range_has_a_limit_of_its_own(tickets) -> None:
    wrong = ((tickets.frame["deck"] == "A") & (tickets.frame["age"] < 40)).to_numpy()
    rules = [
        {"column": "deck", "value": "A"}, {"column": "deck", "value": "B"}, {"column": "deck", "value": None},
        {"column": "age", "high": 40}, {"column": "age", "low": 40},
    ]  # fmt: skip
    found = tickets(wrong, slices=[{**rule, "metric": "accuracy", "limit": 0.9} for rule in rules])
    assert {gate.removeprefix("slices."): verdict.passed for gate, verdict in found.items()} == {
        "deck = A": False, "deck = B": True, "deck = None": True, "age < 40": False, "40 ≤ age": True
    }  # fmt: skip


def test_the_worst_slices_are_found_and_chance_is_not_taken_for_one(tickets) -> None:
    rule = {"metric": "accuracy", "limit": 0.8, "rows": 20}
    bad = (tickets.frame["port"] == "Cherbourg").to_numpy()
    verdict = tickets(bad, worst_slices=rule)["worst_slices"]
    assert not verdict.passed
    assert "port = Cherbourg: accuracy 0 on" in verdict.figure
    random = np.random.default_rng(0)
    failed = [not tickets(random.random(N) < 0.2, worst_slices=rule)["worst_slices"].passed for _ in range(40)]
    assert sum(failed) <= 8, "at most a tenth by chance"


def test_behaviour_is_looked_at_over_the_range_of_a_column(prices, tickets) -> None:
    weights = np.random.default_rng(7).normal(size=(3, 1)).astype(np.float32)[:, 0] / 50  # those of the bundle
    rising, falling = (["abc"[i] for i in np.flatnonzero(sign * weights > 0)] for sign in (1, -1))
    assert rising
    assert falling
    rules = [{"column": rising[0], "direction": "rising"}, {"column": falling[0], "direction": "falling"}]
    assert all(verdict.passed for verdict in prices(monotonic=rules).values())
    rules = [{"column": rising[0], "direction": "falling"}, {"column": falling[0], "direction": "rising"}]
    assert not any(verdict.passed for verdict in prices(monotonic=rules).values())
    assert prices(monotonic=[{**rules[0], "most": 10.0}])["monotonic." + rising[0]].passed
    change = float(tickets(invariant=[{"column": "port", "most": 0}])["invariant.port"].figure.split()[7].rstrip(","))
    assert 0 < change < 0.2
    assert tickets(invariant=[{"column": "port", "most": change * 1.01}])["invariant.port"].passed


def test_known_rows_must_get_their_answers(tickets, prices) -> None:
    answer = TICKETS.classes[
        int(tickets.predictor.predict(encode(TICKETS, {k: [v] for k, v in TICKETS.sample.items()})).argmax())
    ]
    other = next(name for name in TICKETS.classes if name != answer)
    assert tickets(cases=[{"row": TICKETS.sample, "answer": answer}])["cases"].passed
    wrong = tickets(cases=[{"row": TICKETS.sample, "answer": other}])["cases"]
    assert wrong.figure == f"case 0: answered {answer!r}, expected {other!r}"
    assert prices(cases=[{"row": PRICES.sample, "low": -1, "high": 1}])["cases"].passed
    assert not prices(cases=[{"row": PRICES.sample, "low": 5}])["cases"].passed


def test_size_speed_and_calibration_have_limits(tickets) -> None:
    sure = tickets(bytes=10**6, seconds_per_row=10.0, calibration_error=1.0)
    assert all(verdict.passed for verdict in sure.values())
    strict = tickets(bytes=100, seconds_per_row=1e-9, calibration_error=0.01)
    assert not any(verdict.passed for verdict in strict.values())


def test_everything_that_cannot_be_right_is_told_at_once(tmp_path: Path) -> None:
    schema = TICKETS.model_copy(update={"dropped": (DroppedColumn(name="id", role="identifier", reason="one a row"),)})
    frame = frame_of(TICKETS).assign(**{TARGET: "first"})
    frame.loc[0, "deck"] = "C"
    write_rows(tmp_path / "validation.parquet", pa.Table.from_pandas(frame, preserve_index=False))
    gates = Gates.model_validate({
        "values": {"rmse": 1.0}, "bounds": {"acuracy": 0.5},
        "slices": [
            {"column": "prot", "value": "Cherbourg", "metric": "accuracy", "limit": 0.5},
            {"column": "deck", "value": "C", "metric": "accuracy", "limit": 0.5},
            {"column": "age", "low": 200, "metric": "accuracy", "limit": 0.5},
        ],
        "worst_slices": {"metric": "roc_auc", "limit": 0.5},
        "invariant": [{"column": "id", "most": 0}],
        "monotonic": [
            {"column": "port", "direction": "rising", "output": "first"}, {"column": "age", "direction": "rising"}
        ],
        "cases": [{"row": {"age": "old", "fare paid": 3, "port": "Cherbourg"}, "answer": "fourth"}],
    })  # fmt: skip
    told = [str(problem) for problem in gate_problems(gates, schema, tmp_path / "validation.parquet")]
    assert [line.partition(": expected")[0].removeprefix("select.gates.") for line in told] == [
        "values.rmse", "bounds.acuracy", "worst_slices.metric", "slices.0.column", "slices.1", "slices.2",
        "invariant.0.column", "monotonic.0.column", "monotonic.1.output", "cases.0.row.age", "cases.0.answer",
    ]  # fmt: skip
    assert "did you mean 'accuracy'?" in told[1]
    assert told[4] == "select.gates.slices.1: expected at least 2 validation rows with deck = C, received 1 row"
    assert "received 'id', which no network learns from: one a row" in told[6]
    assert gate_problems(Gates(), schema, tmp_path / "validation.parquet") == []


def test_a_case_that_no_row_of_the_data_could_be_is_told_before_training(tmp_path: Path) -> None:
    parts = [TICKETS.features[1].model_copy(update={"name": part}) for part in ("days", "month", "weekday")]
    day = DateFeature(name="day", format="%d.%m.%Y", missing=False, parts=tuple(parts))
    schema = TICKETS.model_copy(update={"features": (day,)})
    write_rows(tmp_path / "validation.parquet", pa.Table.from_pydict({TARGET: ["first"]}))

    def told(**case: object) -> list[str]:
        gates = Gates.model_validate({"cases": [case]})
        return [str(problem) for problem in gate_problems(gates, schema, tmp_path / "validation.parquet")]

    for fits in ("2021-05-05", "05.05.2021"):
        assert told(row={"day": fits}, answer="first") == []
    expected = "select.gates.cases.0.row.day: expected a date as %d.%m.%Y or ISO 8601, received "
    assert told(row={"day": "soon"}, answer="first") == [f"{expected}'soon'"]
    assert told(row={"day": 3}, answer="first") == [f"{expected}3"]
    (line,) = told(row={"day": "2021-05-05"}, answer="first", low=1)
    assert "expected an answer, without low and high" in line


@pytest.mark.parametrize(
    ("value", "rare", "told"),
    [
        ("Cherbuorg", 0, "Queenstown, Southampton), received 'Cherbuorg'; did you mean 'Cherbourg'?"),
        ("southampton", 0, "received 'southampton'; did you mean 'Southampton'?"),
        ("Cherbuorg", 3, ""),  # it may be one of the rare values
        ("Oslo", 0, ""),
        ("Cherbourg", 0, ""),
    ],
)  # fmt: skip
def test_a_misspelt_category_of_a_case_is_told_and_an_unknown_one_is_none(tmp_path, value, rare, told) -> None:
    schema = TICKETS.model_copy(
        update={
            "features": tuple(f.model_copy(update={"rare": rare} if f.name == "port" else {}) for f in TICKETS.features)
        }
    )
    write_rows(tmp_path / "validation.parquet", pa.Table.from_pydict({TARGET: ["first"]}))
    gates = Gates.model_validate({"cases": [{"row": {**TICKETS.sample, "port": value}, "answer": TICKETS.classes[0]}]})
    problems = [str(problem) for problem in gate_problems(gates, schema, tmp_path / "validation.parquet")]
    assert len(problems) == bool(told)
    assert all(told in line and "cases.0.row.port: expected" in line for line in problems)


def test_a_catalog_file_sets_gates_for_one_dataset_and_a_mistake_names_the_file(tmp_path: Path) -> None:
    params = copy_settings(tmp_path)
    override(params, "iris", select={"gates": {"values": {"accuracy": 0.9}}})
    assert load_params(params, "iris").select.gates == Gates(values={"accuracy": 0.9})
    assert load_params(params, "wine").select.gates == Gates()
    case = {"row": {"a": float("nan"), "day": date(2021, 5, 5)}, "answer": "setosa"}
    slices = [{"column": "a", "metric": "accuracy", "limit": 1}]
    override(params, "iris", select={"gates": {"slices": slices, "size": 3, "cases": [case]}})
    with pytest.raises(UserError) as told:
        load_params(params, "iris")
    assert "catalog/iris.yaml: select.gates.size: expected a known key, received 'size'" in str(told.value)
    assert "catalog/iris.yaml: select.gates.slices.0: expected a value, or a low or a high" in str(told.value)
    assert "cases.0.row.a: expected a finite number, or null for a missing value, received nan" in str(told.value)
    assert "cases.0.row.day: expected a date in quotes, received 2021-05-05 without them" in str(told.value)


def test_a_gate_that_cannot_be_right_is_refused_before_training(tmp_path: Path) -> None:
    paths = Paths("tickets", tmp_path)
    paths.prepared.mkdir(parents=True)
    TICKETS.save(paths.prepared / "schema.json")
    rows = pa.Table.from_pandas(frame_of(TICKETS).assign(**{TARGET: "first"}), preserve_index=False)
    for part in ("train", "validation"):
        write_rows(paths.prepared / f"{part}.parquet", rows)
    params = load_params(copy_settings(tmp_path), "iris").model_copy(update={"dataset": "tickets"})
    make_plan(params, paths)
    gates = Gates(values={"rmse": 1.0}, slices=[{"column": "x", "value": 1, "metric": "accuracy", "limit": 0.5}])
    refused = params.model_copy(update={"select": params.select.model_copy(update={"gates": gates})})
    with pytest.raises(UserError) as told:
        make_plan(refused, paths)
    assert len(str(told.value).splitlines()) == 3
