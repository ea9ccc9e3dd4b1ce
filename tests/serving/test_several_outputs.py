"""Multilabel models and models of several numbers: every protocol, the API's description and a file."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from apps import client_of, make_model, make_test_app
from bundles import PRICES

from contracts.schema import LabelsTarget, NumericTarget, NumericTargets
from serving.batch.file import predict_file
from serving.predictor import Predictor
from serving.validation.validator import EncodedRows

LABELS = LabelsTarget(name="tags", classes=("even", "prime"), frequencies=(0.5, 0.4), multilabel=True)
BODY = NumericTargets(name="body", targets=tuple(NumericTarget(name=n, mean=1, std=1) for n in ("weight", "waist")))
ROW = PRICES.sample


@pytest.fixture(scope="module", params=["labels", "several"])
def served(request, tmp_path_factory):
    """The schema, its bundle, a client of its routes, and the prediction for ROW."""
    changes = {"labels": {"task": "multilabel", "target": LABELS}, "several": {"target": BODY}}[request.param]
    schema = PRICES.model_copy(update={"dataset": request.param, **changes})
    folder = tmp_path_factory.mktemp("bundles") / request.param
    model = make_model(schema, folder)
    expected = model.predict(EncodedRows(np.array([list(ROW.values())], np.float32), [])).reshape(-1).tolist()
    with client_of(make_test_app(model)) as client:
        yield schema, folder, client, expected


def test_predict_gives_the_outputs_by_name(served) -> None:
    schema, _, client, expected = served
    (prediction,) = client.post("/predict", json={"instances": [ROW]}).json()["predictions"]
    by_name = dict(zip(schema.outputs, expected, strict=True))
    if schema.task == "multilabel":
        assert prediction == {"labels": [n for n, p in by_name.items() if p >= 0.5], "probabilities": by_name}
    else:
        assert prediction == {"values": by_name}


def test_other_protocols_give_the_numbers_in_the_same_order(served) -> None:
    schema, _, client, expected = served
    answer = client.post(f"/v1/models/{schema.dataset}:predict", json={"instances": [ROW]}).json()
    np.testing.assert_allclose(answer["predictions"][0], expected, rtol=1e-6)
    metadata = client.get(f"/v2/models/{schema.dataset}").json()
    assert [output["shape"] for output in metadata["outputs"]] == [[-1, 2]]
    inputs = [{"name": n, "shape": [1, 1], "datatype": "FP32", "data": [v]} for n, v in ROW.items()]
    answer = client.post(f"/v2/models/{schema.dataset}/infer", json={"inputs": inputs}).json()
    np.testing.assert_allclose(answer["outputs"][0]["data"], expected, rtol=1e-6)
    answer = client.post("/invocations", json={"dataframe_records": [ROW]})
    assert answer.status_code == 200


def test_a_failure_of_the_service_has_the_same_error_body(served, monkeypatch, capsys) -> None:
    schema, _, client, _ = served

    def fail(*_: object) -> None:
        raise RuntimeError("on purpose")

    monkeypatch.setattr(Predictor, "outputs", fail)
    answer = client.post(f"/v1/models/{schema.dataset}:predict", json={"instances": [ROW]})
    assert (answer.status_code, answer.headers["content-type"]) == (500, "application/problem+json")
    assert "on purpose" not in answer.text
    assert "on purpose" in capsys.readouterr().err


def test_the_description_names_the_outputs(served) -> None:
    schema, _, client, _ = served
    text = client.get("/openapi.json").text
    assert all(name in text for name in schema.outputs)
    assert ('"labels"' in text) == (schema.task == "multilabel")
    assert ('"values"' in text) == (schema.task == "regression")


def test_a_file_has_a_column_for_each_output(served, tmp_path: Path) -> None:
    schema, folder, _, expected = served
    rows, out = tmp_path / "rows.csv", tmp_path / "predictions.parquet"
    learned = {**ROW, **({"tags": "even|prime"} if schema.task == "multilabel" else {"weight": 70, "waist": 80})}
    rows.write_text(",".join(learned) + "\n" + ",".join(map(str, learned.values())) + "\n")
    predict_file(folder, rows, out)
    table = pq.read_table(out)
    prefix = "P({})" if schema.classes else "{}"
    assert table.column_names == [prefix.format(name) for name in schema.outputs]
    np.testing.assert_allclose([column[0].as_py() for column in table.columns], expected, rtol=1e-6)
