"""`POST /predict?confidence=…` adds intervals and sets that hold the truth as often as asked."""

from pathlib import Path

import httpx
import numpy as np
import pandas as pd
import pytest
from apps import client_of, make_model, make_test_app
from bundles import PRICES, QUANTILES, TICKETS, make_bundle

from contracts.conformal import conformal_scores, group_thresholds, intervals, prediction_sets, thresholds
from contracts.encoding import encode
from contracts.schema import LabelsTarget, NumericTargets

LABELS = TICKETS.model_copy(
    update={
        "task": "multilabel",
        "target": LabelsTarget(name="tags", classes=("a", "b"), frequencies=(0.2, 0.5), multilabel=True),
    }
)
SEVERAL = PRICES.model_copy(
    update={
        "target": NumericTargets(
            name="prices", targets=(PRICES.target, PRICES.target.model_copy(update={"name": "tax"}))
        )
    }
)
PRICES_BY_PORT = PRICES.model_copy(
    update={
        "features": (*PRICES.features, next(f for f in TICKETS.features if f.name == "port")),
        "sample": {**PRICES.sample, "port": "Southampton"},
    }
)
ROW = {"instances": [PRICES.sample]}
TICKET = {"instances": [TICKETS.sample]}


def test_an_interval_is_as_wide_as_the_scores_say_and_grows_with_the_confidence(prices: httpx.Client) -> None:
    plain = prices.post("/predict", json=ROW).json()["predictions"][0]
    widths = []
    for confidence in ("0.5", "0.9", ".99"):
        answer = prices.post(f"/predict?confidence={confidence}", json=ROW).json()["predictions"][0]
        assert answer.pop("interval").keys() == {"low", "high"}
        assert answer == plain
        interval = prices.post(f"/predict?confidence={confidence}", json=ROW).json()["predictions"][0]["interval"]
        assert interval["low"] < plain["value"] < interval["high"]
        widths.append(interval["high"] - interval["low"])
    # The scores of the bundle are 0.01 to 0.99.
    assert widths == pytest.approx([2 * 0.5, 2 * 0.9, 2 * 0.99], abs=1e-4)


def test_more_confidence_than_the_rows_can_give_has_no_ends(prices: httpx.Client) -> None:
    answer = prices.post("/predict?confidence=0.999", json=ROW).json()["predictions"][0]
    assert answer["interval"] == {"low": None, "high": None}


def test_a_set_grows_with_the_confidence_and_is_never_empty(tickets: httpx.Client) -> None:
    sets = [
        tickets.post(f"/predict?confidence={c}", json=TICKET).json()["predictions"][0]["set"]
        for c in (0.01, 0.7, 0.999)
    ]
    label = tickets.post("/predict", json=TICKET).json()["predictions"][0]["label"]
    assert sets[0] == [label]
    assert set(sets[0]) < set(sets[1])
    assert set(sets[2]) == set(TICKETS.classes)


def test_csv_rows_get_sets_too(tickets: httpx.Client) -> None:
    csv = "age,fare paid,port,deck\n22,7.25,Southampton,\n30,9,Cherbourg,A\n"
    answer = tickets.post("/predict?confidence=0.9", content=csv, headers={"content-type": "text/csv"}).json()
    assert all(row["set"] for row in answer["predictions"])
    assert len(answer["predictions"]) == 2


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("confidence=0", "query confidence: expected a number above 0 and below 1, as 0.9, received something else"),
        ("confidence=1", "above 0 and below 1"),
        ("confidence=-0.5", "above 0 and below 1"),
        ("confidence=0.9_9", "above 0 and below 1"),
        ("confidence=nan", "above 0 and below 1"),
        ("confidence=inf", "above 0 and below 1"),
        ("confidence=90%25", "above 0 and below 1"),
        ("confidence=", "above 0 and below 1"),
        ("confidence=0.9&confidence=0.9", "query confidence: expected one value, received 2 values"),
        (
            "confidense=0.9",
            "query 'confidense': expected an option of confidence, group, explain, received an",
        ),
        ("group=port", "query group: expected a confidence beside it, received none"),
        ("confidence=0.9&group=age", "query group: expected a category ('port', 'deck'), received 'age'"),
        ("confidence=0.9&group=", "received ''"),
        ("confidence=0&x=1", "2 problems, the first: query 'x'"),
        ("%ff=%00&confidence=0.9", "received an unknown one"),
    ],
)
def test_an_option_that_cannot_be_right_is_refused(tickets: httpx.Client, query: str, told: str) -> None:
    response = tickets.post(f"/predict?{query}", json=TICKET)
    assert response.status_code == 400
    assert told in response.json()["detail"]


def test_a_model_without_scores_says_so_and_predicts_without_the_option(tmp_path: Path) -> None:
    make_bundle(TICKETS, tmp_path / "older", scores=False)
    with client_of(make_test_app(make_model(TICKETS, tmp_path / "older"))) as client:
        response = client.post("/predict?confidence=0.9", json=TICKET)
        assert response.status_code == 400
        assert "received one of an older version" in response.json()["detail"]
        assert client.post("/predict", json=TICKET).status_code == 200


def test_a_group_has_the_scores_of_its_own_rows(tmp_path: Path) -> None:
    port = PRICES_BY_PORT.features[-1]
    known = encode(PRICES_BY_PORT, pd.DataFrame({**PRICES.sample, "port": port.categories[:2]}))
    codes = np.repeat(known[:, -1], 99)
    scores = np.concatenate([np.linspace(1, 99, 99), np.linspace(100, 9900, 99)])  # 100 times as far in the second port
    by_row = np.stack([scores, codes], axis=1).astype(np.float32)
    make_bundle(PRICES_BY_PORT, tmp_path / "bundle", by_row=by_row)
    rows = [{**PRICES_BY_PORT.sample, "port": name} for name in (*port.categories[:2], "Nowhere")]
    with client_of(make_test_app(make_model(PRICES_BY_PORT, tmp_path / "bundle"))) as client:
        answer = client.post("/predict?confidence=0.9&group=port", json={"instances": rows}).json()["predictions"]
    widths = [a["interval"]["high"] and a["interval"]["high"] - a["interval"]["low"] for a in answer]
    assert widths[:2] == pytest.approx([180, 18_000], rel=1e-3)
    assert widths[2] is None, "no validation row had such a port"


def test_each_value_of_a_category_is_covered_as_often_as_asked() -> None:
    covered = []
    for seed in range(20):
        random = np.random.default_rng(seed)
        y, p, codes = _two_ports(random)
        rows = np.zeros((len(y), PRICES_BY_PORT.input_width), np.float32)
        rows[:, -1] = codes
        by_row = np.stack([np.abs(y - p), codes], axis=1)
        y, p, codes = _two_ports(random)
        rows[:, -1] = codes
        limits = group_thresholds(PRICES_BY_PORT, by_row, "port", rows, 0.9)[:, 0]
        covered.append([np.mean((np.abs(y - p) <= limits)[codes == code]) for code in (0, 1)])
    assert np.mean(covered, axis=0) == pytest.approx(0.9, abs=0.02)


def _two_ports(random: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Targets, predictions and ports of 500 rows; the errors of the second port are ten times as large."""
    codes, p = random.integers(0, 2, 500), random.normal(size=500)
    return p + random.normal(size=500) * np.where(codes, 10.0, 1.0), p, codes


def test_other_protocols_and_other_routes_take_no_options(tickets: httpx.Client) -> None:
    answer = tickets.post("/v1/models/tickets:predict?confidence=0.9", json=TICKET)
    assert "set" not in answer.text


def test_the_description_has_the_option_and_its_answer(tickets: httpx.Client, prices: httpx.Client) -> None:
    for client, added in ((tickets, "set"), (prices, "interval")):
        operation = client.get("/openapi.json").json()["paths"]["/predict"]["post"]
        names = ["confidence", "group", "explain"] if client is tickets else ["confidence", "explain"]
        assert [parameter["name"] for parameter in operation["parameters"]] == names
        answer = operation["responses"]["200"]["content"]["application/json"]["schema"]["properties"]
        assert added in answer["predictions"]["items"]["properties"]
        assert added not in answer["predictions"]["items"]["required"]


def drawn(schema, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Targets and predictions of 500 rows."""
    n = len(schema.outputs)
    if schema.levels:  # too narrow, and of rows whose spread differs
        spread = random.uniform(0.1, 3, 500)
        return spread * random.normal(size=500), spread[:, None] * np.array([-1.0, 0.0, 1.0])
    if schema.task == "regression":
        y = random.normal(size=(500, n)).astype(np.float32)
        return (y[:, 0] if n == 1 else y), y + random.normal(size=(500, n)).astype(np.float32) * [1.0, 5.0][:n]
    if schema.task == "multilabel":
        p = random.random((500, n))
        return (random.random((500, n)) < p).astype(np.float32), p
    p = random.dirichlet(np.ones(n), 500)
    return (random.random((500, 1)) > p.cumsum(axis=1)).sum(axis=1), p


@pytest.mark.parametrize(
    "schema", [PRICES, SEVERAL, QUANTILES, TICKETS, LABELS], ids=["number", "numbers", "quantiles", "classes", "labels"]
)
@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_new_rows_are_covered_as_often_as_asked(schema, confidence: float) -> None:
    covered = []
    for seed in range(20):
        random = np.random.default_rng(seed)
        limits = thresholds(conformal_scores(schema, *drawn(schema, random)), confidence)
        y, p = drawn(schema, random)
        if schema.task == "regression":
            low, high = intervals(schema, p, limits, confidence)
            covered.append(((low <= y.reshape(len(p), -1)) & (y.reshape(len(p), -1) <= high)).mean(axis=0))
        else:
            held = y == 1 if schema.task == "multilabel" else np.eye(3, dtype=bool)[y]
            covered.append([prediction_sets(schema, p, limits)[held].mean()])
    means = np.mean(covered, axis=0)
    assert np.all(means >= confidence - 0.01)
    assert np.all(means <= confidence + 0.02)
