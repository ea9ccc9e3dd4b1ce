"""`POST /predict?explain=true`: what each feature adds to a prediction."""

from collections.abc import Iterator
from itertools import permutations
from pathlib import Path

import httpx
import numpy as np
import pytest
from apps import client_of, make_model, make_test_app
from bundles import PRICES, TICKETS, TILES, make_bundle

from contracts.encoding import encode
from serving.explanation import explain
from serving.predictor import Predictor

ROWS = {"instances": [TICKETS.sample, {**TICKETS.sample, "age": 60.0, "deck": "B"}]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Bundles of both tables with background rows."""
    folder, random = tmp_path_factory.mktemp("explained"), np.random.default_rng(0)
    numbers = random.normal((30, 30), (14, 50), (64, 2))
    codes = np.stack([random.integers(0, 4, 64), random.integers(0, 3, 64)], axis=1)
    make_bundle(TICKETS, folder / "tickets", np.concatenate([numbers, codes], axis=1).astype(np.float32))
    make_bundle(PRICES, folder / "prices", random.uniform(0, 10, (64, 3)).astype(np.float32))
    return folder


@pytest.fixture(scope="module")
def explaining(folder: Path) -> Iterator[httpx.Client]:
    with client_of(make_test_app(make_model(TICKETS, folder / "tickets"))) as client:
        yield client


def test_contributions_add_up_to_the_answer_less_the_mean(explaining) -> None:
    answer = explaining.post("/predict?explain=true", json=ROWS).json()
    assert len(answer["predictions"]) == 2
    for prediction in answer["predictions"]:
        ((label, explanation),) = prediction["explanation"].items()
        assert label == prediction["label"]
        assert list(explanation["contributions"]) == [feature.name for feature in TICKETS.features]
        total = explanation["mean"] + sum(explanation["contributions"].values())
        assert total == pytest.approx(prediction["probability"], abs=1e-5)


def test_contributions_are_the_shapley_values(explaining, folder: Path) -> None:
    """All 24 orders of the four features, over all background rows."""
    predictor = Predictor(folder / "tickets")
    row = encode(TICKETS, {name: [value] for name, value in TICKETS.sample.items()})[0]
    orders, exact = list(permutations(range(4))), np.zeros(4)
    code = int(predictor.predict(row[None])[0].argmax())
    for order in orders:
        rows = predictor.background.copy()
        before = predictor.predict(rows)[:, code].mean()
        for feature in order:
            rows[:, feature] = row[feature]
            after = predictor.predict(rows)[:, code].mean()
            exact[feature] += (after - before) / len(orders)
            before = after
    answer = explaining.post("/predict?explain=true", json={"instances": [TICKETS.sample]}).json()["predictions"][0]
    received = list(answer["explanation"][TICKETS.classes[code]]["contributions"].values())
    np.testing.assert_allclose(received, exact, atol=1e-6)


def test_many_features_are_sampled_and_add_up_too() -> None:
    """Twelve features of which neighbours interact; each pair shares what it adds."""
    random = np.random.default_rng(0)
    row, background = random.normal(size=12).astype(np.float32), random.normal(size=(64, 12)).astype(np.float32)
    background[:, ::2] = 0.0

    def predict(rows: np.ndarray) -> np.ndarray:
        return (rows[:, ::2] * rows[:, 1::2]).sum(axis=1, keepdims=True)

    found = explain(predict, row, background, np.arange(12))
    assert found.mean[0] + found.values.sum() == pytest.approx(predict(row[None])[0, 0], abs=1e-5)
    of_first = row[::2] * (row[1::2] + background[:, 1::2].mean(axis=0)) / 2
    np.testing.assert_allclose(found.values[::2, 0], of_first, atol=0.1)
    np.testing.assert_allclose(found.values[1::2, 0], predict_pairs(row) - of_first, atol=0.1)


@pytest.mark.parametrize("features", [6, 12])
def test_a_large_network_has_fewer_predictions(features: int) -> None:
    random = np.random.default_rng(0)
    row, background = random.normal(size=features), random.normal(size=(8, features))
    counts = {1e3: 0, 1e7: 0}
    for work in counts:

        def predict(rows: np.ndarray, work: float = work) -> np.ndarray:
            counts[work] += len(rows)
            return rows.sum(axis=1, keepdims=True) ** 2

        found = explain(predict, row, background, np.arange(features), work)
        assert found.mean[0] + found.values.sum() == pytest.approx(row.sum() ** 2, rel=1e-4)
    assert counts[1e7] <= 250 < counts[1e3] <= 8192


def predict_pairs(row: np.ndarray) -> np.ndarray:
    return row[::2] * row[1::2]


def test_a_linear_model_is_explained_exactly(folder: Path) -> None:
    model = make_model(PRICES, folder / "prices")
    background = Predictor(folder / "prices").background
    with client_of(make_test_app(model)) as client:
        sample = PRICES.sample

        def value(**changed: float) -> float:
            return client.post("/predict", json={"instances": [{**sample, **changed}]}).json()["predictions"][0][
                "value"
            ]

        answer = client.post("/predict?explain=true", json={"instances": [sample]}).json()["predictions"][0]
        found = answer["explanation"]["price"]["contributions"]
        for i, name in enumerate("abc"):
            assert found[name] == pytest.approx(value() - value(**{name: float(background[:, i].mean())}), abs=1e-5)


def test_without_the_option_an_answer_is_as_before(explaining, tickets) -> None:
    for query in ("", "?explain=false"):
        assert explaining.post(f"/predict{query}", json=ROWS).json() == tickets.post("/predict", json=ROWS).json()


def test_the_tiles_of_an_image_say_where_the_answer_comes_from(tiles) -> None:
    image = TILES.sample["image"]
    answer = tiles.post("/predict?explain=true", json={"instances": [image]}).json()["predictions"][0]
    ((label, explanation),) = answer["explanation"].items()
    assert label == answer["label"]
    falls = np.array(explanation["occlusion"])
    assert falls.shape == (4, 4)
    hidden = [list(row) for row in image]
    for y, x in ((6, 4), (6, 5), (7, 4), (7, 5)):
        hidden[y][x] = 0
    other = tiles.post("/predict", json={"instances": [hidden]}).json()["predictions"][0]
    expected = answer["probability"] - other["probabilities"][label]
    assert falls[3][2] == pytest.approx(expected, abs=1e-6)
    assert abs(falls[3][2]) > 1e-4


def test_too_many_rows_are_refused_with_the_limit(explaining) -> None:
    answer = explaining.post("/predict?explain=true", json={"instances": [TICKETS.sample] * 11})
    assert answer.status_code == 400
    assert answer.json()["detail"] == "?explain: expected at most 10 rows, received 11"


def test_a_bundle_without_background_rows_says_what_to_do(tickets) -> None:
    answer = tickets.post("/predict?explain=true", json=ROWS)
    assert answer.status_code == 400
    assert "a champion of a later training can be explained" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("query", "detail"),
    [
        ("explain=yes", "query explain: expected true or false, received something else"),
        ("explain=", "query explain: expected true or false, received something else"),
        ("explain=true&explain=true", "query explain: expected one value, received 2 values"),
        ("explian=true", "query 'explian': expected an option of confidence, group, explain, received an unknown one"),
        ("&".join(f"a{i}=1" for i in range(30)), "query: expected at most 20 options, received more"),
    ],
)
def test_a_query_that_is_no_option_is_refused(explaining, query: str, detail: str) -> None:
    answer = explaining.post(f"/predict?{query}", json=ROWS)
    assert answer.status_code == 400
    assert answer.json()["detail"] == detail


def test_the_time_of_a_request_is_a_limit(folder: Path) -> None:
    with client_of(make_test_app(make_model(TICKETS, folder / "tickets", timeout=0.0))) as client:
        assert client.post("/predict", json=ROWS).status_code == 200
        answer = client.post("/predict?explain=true", json=ROWS)
        assert answer.status_code == 504
        assert "no explanation within 0 seconds" in answer.json()["detail"]
