"""Values are what they were in the data: whole numbers and truth values as classes, and as categories."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from apps import client_of, make_model, make_test_app
from bundles import PRICES, TICKETS
from request_bodies import ROUTES, post, request_body

from contracts.schema import CategoricalFeature, ClassTarget, DateFeature, NumericFeature
from serving.batch.file import predict_file
from serving.errors import Problem
from serving.validation.validator import InputValidator

ROW = PRICES.sample
KINDS = {"integer": ("0", "7", "12"), "boolean": ("False", "True"), "text": ("no", "yes")}
DATATYPES = {"integer": "INT64", "boolean": "BOOL", "text": "BYTES"}


@pytest.fixture(scope="module", params=KINDS)
def served(request, tmp_path_factory):
    """The schema, its bundle and a client of its routes."""
    classes = KINDS[request.param]
    target = ClassTarget(name="y", classes=classes, frequencies=(1 / len(classes),) * len(classes), kind=request.param)
    schema = PRICES.model_copy(update={"dataset": request.param, "task": "multiclass", "target": target})
    folder = tmp_path_factory.mktemp("bundles") / request.param
    with client_of(make_test_app(make_model(schema, folder))) as client:
        yield schema, folder, client


def test_an_answer_names_the_class_as_it_was(served) -> None:
    schema, _, client = served
    (prediction,) = client.post("/predict", json={"instances": [ROW]}).json()["predictions"]
    assert type(prediction["label"]) is type(schema.labels[0])
    assert prediction["label"] in schema.labels
    assert list(prediction["probabilities"]) == list(schema.classes)
    assert prediction["probability"] == max(prediction["probabilities"].values())
    described = client.get("/openapi.json").json()
    assert list(schema.labels) in [part.get("enum") for part in _parts(described)]


def _parts(value):
    if isinstance(value, dict):
        yield value
        value = list(value.values())
    for part in value if isinstance(value, list) else ():
        yield from _parts(part)


def test_a_tensor_of_labels_has_their_datatype(served) -> None:
    schema, _, client = served
    name, datatype = schema.dataset, DATATYPES[schema.dataset]
    outputs = client.get(f"/v2/models/{name}").json()["outputs"]
    assert {output["name"]: output["datatype"] for output in outputs}["label"] == datatype
    inputs = [{"name": n, "shape": [2, 1], "datatype": "FP32", "data": [v, v]} for n, v in ROW.items()]
    (label,) = client.post(f"/v2/models/{name}/infer", json={"inputs": inputs, "outputs": [{"name": "label"}]}).json()[
        "outputs"
    ]
    assert label["datatype"] == datatype
    assert [type(value) for value in label["data"]] == [type(schema.labels[0])] * 2
    asked = [{"name": "label", "parameters": {"binary_data": True}}]
    answer = client.post(f"/v2/models/{name}/infer", json={"inputs": inputs, "outputs": asked})
    content = answer.content[int(answer.headers["inference-header-content-length"]) :]
    if datatype != "BYTES":
        received = np.frombuffer(content, {"INT64": "<i8", "BOOL": "?"}[datatype])
        assert received.tolist() == label["data"]


def test_a_file_of_predictions_has_a_column_of_their_type(served, tmp_path: Path) -> None:
    schema, folder, _ = served
    rows, out = tmp_path / "rows.csv", tmp_path / "predictions.parquet"
    rows.write_text(",".join(ROW) + "\n" + ",".join(str(value) for value in ROW.values()) + "\n")
    predict_file(folder, rows, out)
    assert pq.read_table(out)["label"].to_pylist()[0] in schema.labels
    assert (
        str(pq.read_table(out).schema.field("label").type)
        == {"INT64": "int64", "BOOL": "bool", "BYTES": "string"}[DATATYPES[schema.dataset]]
    )


CODES = PRICES.model_copy(
    update={"features": (
        CategoricalFeature(name="floor", categories=("-1", "0", "12"), missing=True),
        CategoricalFeature(name="new", categories=("False", "True"), missing=False),
    )}
)  # fmt: skip


@pytest.mark.parametrize(
    ("row", "codes"),
    [
        ([12, True], [3, 2]),
        ([12.0, "True"], [3, 2]),
        (["-1", False], [1, 1]),
        ([None, True], [0, 2]),
        ([np.int64(0), np.bool_(False)], [2, 1]),
        ([float("nan"), True], [0, 2]),
        (["12", "true"], [3, 2]),
        (["12", "FALSE"], [3, 1]),
        (["12", "f"], [3, 0]),
    ],
)
def test_a_category_may_be_a_number_or_a_truth_value_as_in_the_data(row, codes) -> None:
    assert InputValidator(CODES, 10).validate_instances([row], "$").encoded.tolist() == [codes]


@pytest.mark.parametrize("row", [[5, True], [1.5, True], [True, True], [10**400, True], ["0", 1], ["0", None]])
def test_a_number_that_is_no_category_is_refused(row) -> None:
    with pytest.raises(Problem):
        InputValidator(CODES, 10).validate_instances([row], "$")


def test_a_whole_number_beyond_those_of_a_float_is_the_category_of_its_digits() -> None:
    feature = CategoricalFeature(name="account", categories=(str(2**60 + 1), str(2**60 + 2)), missing=False)
    validator = InputValidator(PRICES.model_copy(update={"features": (feature,)}), 10)
    rows = [[2**60 + 2], [np.int64(2**60 + 1)], [str(2**60 + 2)]]
    assert validator.validate_instances(rows, "$").encoded.tolist() == [[2], [1], [2]]
    with pytest.raises(Problem):  # it may stand for either
        validator.validate_instances([[float(2**60)]], "$")


@pytest.fixture(scope="module")
def with_gaps(tmp_path_factory):
    """A bundle and its client: validation or test rows lack a fare and a deck, though no train row does."""
    deck = TICKETS.features[3].model_copy(update={"missing": False})
    schema = TICKETS.model_copy(
        update={"features": (*TICKETS.features[:3], deck), "missing_elsewhere": ("fare paid", "deck")}
    )
    folder = tmp_path_factory.mktemp("gaps") / "tickets"
    with client_of(make_test_app(make_model(schema, folder))) as client:
        yield folder, client


@pytest.mark.parametrize("protocol", ROUTES)
def test_a_gap_that_only_other_rows_have_is_taken_by_every_protocol(with_gaps, protocol: str) -> None:
    _, client = with_gaps
    body = request_body(protocol, [[22.0, None, "Southampton", None]])
    assert post(client, protocol, body).status_code == 200
    refused = request_body(protocol, [[22.0, 7.25, None, None]])  # no row lacks a port
    assert post(client, protocol, refused).status_code == 400


def test_a_gap_that_only_other_rows_have_is_taken_from_files_and_described(with_gaps, tmp_path: Path) -> None:
    folder, client = with_gaps
    rows = pd.DataFrame({"age": [22.0], "fare paid": [None], "port": ["Southampton"], "deck": [None]})
    rows = rows.astype({"fare paid": "float64", "deck": "string"})
    (tmp_path / "rows.csv").write_text("age,fare paid,port,deck\n22,,Southampton,\n")
    rows.to_parquet(tmp_path / "rows.parquet")
    for ending in ("csv", "parquet"):
        predict_file(folder, tmp_path / f"rows.{ending}", tmp_path / f"from_{ending}.csv")
    assert (tmp_path / "from_csv.csv").read_bytes() == (tmp_path / "from_parquet.csv").read_bytes()
    answered = client.post(
        "/predict", content=(tmp_path / "rows.csv").read_bytes(), headers={"content-type": "text/csv"}
    )
    assert answered.status_code == 200
    described = client.get("/openapi.json").json()["components"]["schemas"]["Instance"]["properties"]
    nullable = {name: "null" in value["type"] for name, value in described.items() if "type" in value}
    assert nullable == {"age": True, "fare paid": True, "port": False, "deck": True}


def test_a_gap_is_filled_where_the_data_has_some_though_no_train_row_does() -> None:
    schema = CODES.model_copy(update={"missing_elsewhere": ("new",)})
    assert InputValidator(schema, 10).validate_instances([["0", None]], "$").encoded.tolist() == [[2, 0]]


def test_a_date_far_outside_is_told_as_a_date() -> None:
    parts = tuple(
        NumericFeature(name=f"day {of}", minimum=low, maximum=high, mean=low, std=1, median=low, missing=False)
        for of, low, high in (("days", 19358, 19395), ("month", 1, 2), ("weekday", 0, 6))
    )
    schema = CODES.model_copy(update={"features": (DateFeature(name="day", format="%Y", missing=True, parts=parts),)})
    warnings = InputValidator(schema, 10).validate_instances([["2020-12-01"], ["2023-01-05"]], "$").warnings
    assert [warning.message for warning in warnings] == [
        "far outside the 2023-01-01 to 2023-02-07 of training", "its month is far outside the 1 to 2 of training",
    ]  # fmt: skip


def test_a_value_that_is_not_there_is_told_with_what_may_stand_for_it() -> None:
    with pytest.raises(Problem) as refusal:
        InputValidator(CODES, 10).validate_instances([{}], "$")
    assert [(error.expected, error.received) for error in refusal.value.errors] == [
        ("a string, or null", "no value"), ("a string", "no value"),
    ]  # fmt: skip
