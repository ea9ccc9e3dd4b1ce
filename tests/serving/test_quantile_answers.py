"""Quantiles of a number: every protocol, the API's description, the intervals, an explanation and a file."""

import csv
from pathlib import Path

import httpx
import numpy as np
import pytest
from apps import client_of, make_model, make_test_app
from bundles import PRICES, QUANTILES

from contracts.conformal import intervals
from contracts.encoding import encode
from serving.batch.file import predict_file
from serving.predictor import Predictor

ROW = QUANTILES.sample
LEVELS = ["0.05", "0.5", "0.95"]
URL = f"/v1/models/{QUANTILES.dataset}:predict"
INPUTS = [{"name": n, "shape": [1, 1], "datatype": "FP32", "data": [v]} for n, v in ROW.items()]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("quantiles") / "bundle"


@pytest.fixture(scope="module")
def client(folder: Path):
    with client_of(make_test_app(make_model(QUANTILES, folder))) as client:
        yield client


@pytest.fixture(scope="module")
def quantiles(client: httpx.Client, folder: Path) -> list[float]:
    """Those of ROW, as the graph gives them."""
    (found,) = Predictor(folder).outputs(encode(QUANTILES, {name: [value] for name, value in ROW.items()}))
    assert (np.diff(found) > 0).all()
    return found.tolist()


def test_the_value_is_the_median_and_the_quantiles_have_their_levels(client, quantiles) -> None:
    (answer,) = client.post("/predict", json={"instances": [ROW]}).json()["predictions"]
    assert answer == {"value": quantiles[1], "quantiles": dict(zip(LEVELS, quantiles, strict=True))}


def test_other_protocols_give_the_median_and_then_the_quantiles(client, quantiles) -> None:
    numbers = pytest.approx([quantiles[1], *quantiles])
    (row,) = client.post(URL, json={"instances": [ROW]}).json()["predictions"]
    assert row == numbers
    names = ["price", *(f"Q({level})" for level in LEVELS)]
    (record,) = client.post("/invocations", json={"dataframe_records": [ROW]}).json()["predictions"]
    assert list(record) == names
    assert list(record.values()) == numbers


def test_the_open_inference_protocol_has_an_output_for_each(client, quantiles) -> None:
    described = client.get(f"/v2/models/{QUANTILES.dataset}").json()["outputs"]
    assert [(o["name"], o["shape"]) for o in described] == [("value", [-1, 1]), ("quantiles", [-1, 3])]
    url = f"/v2/models/{QUANTILES.dataset}/infer"
    value, others = client.post(url, json={"inputs": INPUTS}).json()["outputs"]
    assert (value["data"], others["data"]) == (pytest.approx([quantiles[1]]), pytest.approx(quantiles))
    asked = {"inputs": INPUTS, "outputs": [{"name": "quantiles", "parameters": {"binary_data": True}}]}
    body = client.post(url, json=asked)
    received = np.frombuffer(body.content[int(body.headers["inference-header-content-length"]) :], "<f4")
    assert received.tolist() == quantiles


def test_an_interval_is_that_of_the_quantiles_moved_by_the_score(client, quantiles) -> None:
    body = {"instances": [ROW]}
    found = client.post("/predict?confidence=0.9", json=body).json()["predictions"][0]["interval"]
    # The scores of the bundle are 0.01 to 0.99.
    assert found == pytest.approx({"low": quantiles[0] - 0.9, "high": quantiles[2] + 0.9}, abs=1e-6)
    found = client.post("/predict?confidence=0.999", json=body).json()["predictions"][0]["interval"]
    assert found == {"low": None, "high": None}


def test_an_interval_takes_the_pair_that_is_nearest_and_holds_the_median() -> None:
    target = PRICES.target.model_copy(update={"quantiles": tuple((q, 0.0) for q in (0.05, 0.25, 0.5, 0.75, 0.95))})
    schema, rows = PRICES.model_copy(update={"target": target}), np.array([[-4.0, -1.0, 0.0, 1.0, 4.0]])
    for limits, confidence, expected in (
        ([0.5, 9.0], 0.9, (-4.5, 4.5)), ([9.0, 0.5], 0.6, (-1.5, 1.5)), ([-5.0, 9.0], 0.9, (0.0, 0.0)),
    ):  # fmt: skip
        low, high = intervals(schema, rows, np.array(limits), confidence)
        assert (low.item(), high.item()) == expected


def test_the_description_has_the_quantiles(client) -> None:
    operation = client.get("/openapi.json").json()["paths"]["/predict"]["post"]
    answer = operation["responses"]["200"]["content"]["application/json"]["schema"]["properties"]["predictions"]
    assert answer["items"]["required"] == ["value", "quantiles"]
    assert answer["items"]["properties"]["quantiles"]["required"] == LEVELS


def test_a_file_has_a_column_for_each(client, folder, quantiles, tmp_path: Path) -> None:
    rows, out = tmp_path / "rows.csv", tmp_path / "out.csv"
    rows.write_text(",".join(ROW) + "\n" + ",".join(map(str, ROW.values())) + "\n")
    predict_file(folder, rows, out)
    with out.open(newline="") as file:
        (found,) = csv.DictReader(file)
    assert list(found) == ["price", *(f"Q({level})" for level in LEVELS)]
    assert list(map(float, found.values())) == pytest.approx([quantiles[1], *quantiles])


def test_a_bundle_whose_answer_for_the_sample_differs_is_not_ready(folder, client, tmp_path: Path) -> None:
    assert make_model(QUANTILES, folder).not_ready_reason is None
    assert make_model(QUANTILES, folder, error=1).not_ready_reason
