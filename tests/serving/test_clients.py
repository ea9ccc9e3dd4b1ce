"""Other projects' clients with their default settings, and the agreement of the four protocols."""

import base64
import io

import httpx
import numpy as np
import pandas as pd
import pytest
import tritonclient.http as triton
from apps import LiveApp
from mlflow.pyfunc.scoring_server.client import ScoringServerClient
from open_inference.openapi.client import OpenInferenceClient
from open_inference.openapi.types import InferenceRequest
from PIL import Image
from request_bodies import GOOD, post, request_body

SAMPLE = [[(row * column) % 17 for column in range(8)] for row in range(8)]


@pytest.fixture(scope="module")
def expected(tiles: httpx.Client) -> list[float]:
    """The sample's probabilities from `POST /predict`."""
    (prediction,) = tiles.post("/predict", json={"instances": [SAMPLE]}).json()["predictions"]
    assert prediction["label"] == max(prediction["probabilities"], key=prediction["probabilities"].get)
    assert prediction["probability"] == max(prediction["probabilities"].values())
    return list(prediction["probabilities"].values())


def test_tritonclient_sends_and_reads_binary_tensors(live: dict[str, LiveApp], expected: list[float]) -> None:
    client = triton.InferenceServerClient(live["tiles"].url.removeprefix("http://"))
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("tiles", "7")
    metadata = client.get_model_metadata("tiles")
    assert metadata["inputs"] == [{"name": "image", "datatype": "FP32", "shape": [-1, 8, 8]}]
    tensor = triton.InferInput("image", [2, 8, 8], "FP32")
    tensor.set_data_from_numpy(np.array([SAMPLE, SAMPLE], dtype=np.float32))
    result = client.infer("tiles", [tensor], request_id="an-id")
    assert result.get_response()["id"] == "an-id"
    np.testing.assert_allclose(result.as_numpy("probabilities"), [expected, expected], rtol=1e-5)
    assert result.as_numpy("label").tolist() == [[str(int(np.argmax(expected))).encode()]] * 2


def test_tritonclient_sends_categories_and_a_missing_number(live: dict[str, LiveApp], tickets: httpx.Client) -> None:
    client = triton.InferenceServerClient(live["tickets"].url.removeprefix("http://"))
    tensors = []
    for name, values in {"age": [np.nan], "fare paid": [7.25], "port": ["Southampton"], "deck": [""]}.items():
        text = isinstance(values[0], str)
        array = np.array([[value.encode()] for value in values], dtype=object) if text else np.array([values])
        tensors.append(triton.InferInput(name, [1, 1], "BYTES" if text else "FP64"))
        tensors[-1].set_data_from_numpy(array)
    wanted = triton.InferRequestedOutput("probabilities", binary_data=False)
    received = client.infer("tickets", tensors, outputs=[wanted], request_compression_algorithm="gzip")
    by_name = tickets.post("/v1/models/tickets:predict", json={"instances": [GOOD | {"age": None}]}).json()
    np.testing.assert_allclose(received.as_numpy("probabilities").reshape(-1), by_name["predictions"][0], rtol=1e-6)
    tensors[1].set_data_from_numpy(np.array([[np.inf]]))
    with pytest.raises(triton.InferenceServerException, match="fare paid"):
        client.infer("tickets", tensors)


def test_open_inference_client(live: dict[str, LiveApp], expected: list[float]) -> None:
    client = OpenInferenceClient(base_url=live["tiles"].url)
    client.check_server_readiness()
    assert client.read_model_metadata("tiles").platform == "onnxruntime_onnx"
    tensor = {"name": "image", "shape": [1, 8, 8], "datatype": "FP32", "data": SAMPLE}
    answer = client.model_infer("tiles", request=InferenceRequest(id="x", inputs=[tensor]))
    outputs = {output.name: output for output in answer.outputs}
    assert answer.id == "x"
    data = outputs["probabilities"].data
    np.testing.assert_allclose(np.ravel(getattr(data, "root", getattr(data, "__root__", data))), expected, rtol=1e-5)


def test_mlflow_scoring_client(live: dict[str, LiveApp], tickets: httpx.Client) -> None:
    client = ScoringServerClient("127.0.0.1", live["tickets"].port)
    client.ping()
    assert client.get_version() == "3.0"
    frame = pd.DataFrame([GOOD, GOOD | {"port": "Queenstown"}])[["deck", "age", "port", "fare paid"]]
    answer = client.invoke(frame).get_predictions()
    assert list(answer.columns) == ["first", "second", "third"]
    by_predict = tickets.post("/predict", json={"instances": [GOOD]}).json()["predictions"][0]["probabilities"]
    assert answer.iloc[0].to_dict() == pytest.approx(by_predict)


def test_all_protocols_give_the_same_predictions(tickets: httpx.Client) -> None:
    answers = {
        p: post(tickets, p, request_body(p, [list(GOOD.values())])).json() for p in ("predict", "tensorflow", "mlflow")
    }
    received = [
        list(answers["predict"]["predictions"][0]["probabilities"].values()),
        answers["tensorflow"]["predictions"][0],
        list(answers["mlflow"]["predictions"][0].values()),
        post(tickets, "inference", request_body("inference", [list(GOOD.values())])).json()["outputs"][1]["data"],
        tickets.post("/v1/models/tickets:predict", json={"inputs": {k: [v] for k, v in GOOD.items()}}).json()[
            "outputs"
        ][0],
        tickets.post("/v1/models/tickets:predict", json={"instances": [list(GOOD.values())]}).json()["predictions"][0],
    ]
    for probabilities in received[1:]:
        np.testing.assert_allclose(probabilities, received[0], rtol=1e-6)
    text = "port,age,fare paid,deck\nSouthampton,22,7.25,\n"
    by_csv = tickets.post("/predict", content=text, headers={"content-type": "text/csv"}).json()
    assert by_csv["predictions"] == answers["predict"]["predictions"]


def test_a_regression_gives_values(prices: httpx.Client) -> None:
    row = {"a": 1, "b": 2, "c": 3}
    value = prices.post("/predict", json={"instances": [row]}).json()["predictions"][0]["value"]
    assert prices.post("/v1/models/prices:predict", json={"instances": [row]}).json()["predictions"] == [
        [pytest.approx(value)]
    ]
    assert prices.post("/invocations", json={"inputs": {k: [v] for k, v in row.items()}}).json()["predictions"] == [
        {"price": value}
    ]
    tensor = {"name": "rows", "shape": [1, 3], "datatype": "FP32", "data": [[1, 2, 3]]}
    (output,) = prices.post("/v2/models/prices/infer", json={"inputs": [tensor]}).json()["outputs"]
    assert (output["name"], output["shape"], output["data"]) == ("value", [1, 1], [pytest.approx(value)])


def test_image_files_give_the_predictions_of_their_pixels(tiles: httpx.Client) -> None:
    grey = (np.array(SAMPLE) * 15).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(grey).save(file, "PNG")
    content = file.getvalue()
    text = base64.b64encode(content).decode()
    nested = tiles.post("/predict", json={"instances": [(grey * np.float32(16 / 255)).tolist()]}).json()["predictions"][
        0
    ]
    answers = [
        tiles.post("/predict", content=content, headers={"content-type": "image/png"}),
        tiles.post("/predict", files={"file": ("a.png", content, "image/png")}),
        tiles.post("/predict", json={"instances": [text]}),
        tiles.post("/predict", json={"instances": [{"image": f"data:image/png;base64,{text}"}]}),
        tiles.post("/predict", json={"instances": [{"b64": text}]}),
    ]
    for answer in answers:
        assert answer.status_code == 200, answer.text
        assert answer.json()["predictions"][0]["probabilities"] == pytest.approx(nested["probabilities"], rel=1e-3)
    by_tensor = {"name": "image", "shape": [1, 1], "datatype": "BYTES", "data": [text]}
    answer = tiles.post("/v2/models/tiles/infer", json={"inputs": [by_tensor]})
    assert answer.json()["outputs"][1]["data"] == pytest.approx(list(nested["probabilities"].values()), rel=1e-3)


@pytest.mark.parametrize("what", ["truncated", "a bomb", "a GIF", "text"])
def test_a_file_that_is_not_a_whole_png_or_jpeg_is_refused(tiles: httpx.Client, what: str) -> None:
    file = io.BytesIO()
    Image.effect_noise((300, 300), 50).save(file, "PNG")
    content = file.getvalue()[:-2000]
    if what == "a bomb":
        file = io.BytesIO()
        Image.new("1", (30_000, 30_000)).save(file, "PNG")
        content = file.getvalue()
    elif what == "a GIF":
        file = io.BytesIO()
        Image.new("L", (8, 8)).save(file, "GIF")
        content = file.getvalue()
    elif what == "text":
        content = b"hello"
    for sent in ({"content": content, "headers": {"content-type": "image/png"}}, {"files": {"file": content}}):
        answer = tiles.post("/predict", **sent)
        assert answer.status_code == 400, answer.text
        assert "PNG" in answer.text or "pixels" in answer.text


def test_metadata_agrees_with_the_responses(tickets: httpx.Client) -> None:
    signature = tickets.get("/v1/models/tickets/metadata").json()["metadata"]["signature_def"]["signature_def"]
    assert signature["serving_default"]["inputs"]["port"]["dtype"] == "DT_STRING"
    status = tickets.get("/v1/models/tickets/versions/7").json()["model_version_status"]
    assert status[0]["state"] == "AVAILABLE"
    described = tickets.get("/v2/models/tickets").json()
    columns = [tensor["name"] for tensor in described["inputs"]]
    assert columns == list(GOOD)
    answered = post(tickets, "inference", request_body("inference", [list(GOOD.values())])).json()["outputs"]
    for output, declared in zip(answered, described["outputs"], strict=True):
        assert (output["name"], output["datatype"]) == (declared["name"], declared["datatype"])
        assert output["shape"] == [1, declared["shape"][1]]
