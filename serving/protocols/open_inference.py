"""The Open Inference Protocol, version 2, with its binary extension.

https://github.com/kserve/open-inference-protocol; the extension as Triton describes it.
"""

from typing import Any

import numpy as np
import orjson

from contracts.schema import CategoricalFeature, ImageFeature
from serving.errors import Problem, Wrong, kind, refuse, shown
from serving.model import Answer, Model
from serving.parsing.json_body import check_keys, parse_object
from serving.parsing.pictures import NotAPicture, from_base64, pixels
from serving.protocols.open_inference_tensors import read_tensor, write_tensor
from serving.validation.images import check_range
from serving.validation.rows import Rows

ROWS = "rows"  # a tensor of this name has all features, in the schema's order
KEYS = ("id", "inputs", "outputs", "parameters")


def infer(model: Model, body: bytes, content_type: str, header_length: str | None) -> Answer:
    """`POST …/infer`. `header_length` is `Inference-Header-Content-Length`: where the JSON ends."""
    length = len(body)
    if header_length is not None:
        if not header_length.isdecimal() or not 0 < int(header_length[:20]) <= len(body):
            raise Problem(400, "Inference-Header-Content-Length: expected a length within the body, received another")
        length = int(header_length)
    document = parse_object(body[:length], most=model.door.max_lists)
    errors = check_keys(document, KEYS)
    if not isinstance(document.get("id", ""), str):
        errors.append(Wrong("$.id", "a string", kind(document["id"])))
    if not isinstance(document.get("inputs"), list):
        errors.append(Wrong("$.inputs", "a list of tensors", kind(document.get("inputs"))))
    if errors:
        raise refuse(*errors)
    wanted = _wanted(model, document)
    tensors: dict[str, tuple[list[int], Any]] = {}
    odd: list[Wrong] = []
    rest = memoryview(body)[length:]
    for number, entry in enumerate(document["inputs"]):
        name, shape, values, rest = read_tensor(entry, f"$.inputs[{number}]", rest, odd)
        if name in tensors:
            raise refuse(Wrong(f"$.inputs[{number}].name", "each name once", "the same name again"))
        tensors[name] = (shape, values)
    if len(rest):
        raise refuse(Wrong("the body", "no bytes after the last tensor", f"{len(rest)} bytes"))
    rows = _rows(model, tensors, odd)
    return _answer(model, document.get("id"), rows, wanted)


def _rows(model: Model, tensors: dict[str, tuple[list[int], Any]], odd: list[Wrong]) -> Rows:
    door, image = model.door, model.schema.image
    together = set(tensors) == {ROWS} and image is None
    expected = (ROWS,) if together else door.names
    errors = [Wrong("$.inputs", f"a tensor {name!r}", "none of that name") for name in expected if name not in tensors]
    errors += [
        Wrong("$.inputs", f"no tensor but {', '.join(expected)}", shown(name))
        for name in tensors
        if name not in expected
    ]
    if errors:
        raise refuse(*odd, *errors)
    counts = {shape[0] for shape, _ in tensors.values()}
    if len(counts) > 1:
        raise refuse(Wrong("$.inputs", "the same number of rows in each tensor", f"{sorted(counts)[:5]}"))
    n_rows = counts.pop()
    door.check_count(n_rows)
    if image is not None:
        if odd:
            raise refuse(*odd)
        return Rows(_images(image, *tensors[image.name]), [])
    width = len(door.names) if together else 1
    shapes = ([width], []) if width == 1 else ([width],)
    errors = [
        Wrong(f"inputs[{name!r}].shape", f"[{n_rows}, {width}]", f"{shape}")
        for name, (shape, _) in tensors.items()
        if shape[1:] not in shapes
    ]
    if errors:
        raise refuse(*odd, *errors)
    if together:
        values = tensors[ROWS][1]
        matrix = (
            values.reshape(n_rows, width).T
            if isinstance(values, np.ndarray)
            else [values[i::width] for i in range(width)]
        )
        columns = dict(zip(door.names, matrix, strict=True))
        return door.columns(columns, lambda row, name: f"inputs['{ROWS}'][{row}][{name!r}]", odd)
    columns = {name: _texts(values) for name, (_, values) in tensors.items()}
    return door.columns(columns, lambda row, name: f"inputs[{name!r}][{row}]", odd)


def _texts(values: Any) -> Any:
    """Strings of bytes; an empty one is a missing category, for which the protocol has no other word."""
    if isinstance(values, np.ndarray):
        return values
    try:
        texts = [value.decode() if isinstance(value, bytes) else value for value in values]
    except UnicodeDecodeError:
        raise refuse(Wrong("$.inputs", "UTF-8 text", "other bytes")) from None
    return [None if text == "" else text for text in texts]


def _images(image: ImageFeature, shape: list[int], values: Any) -> np.ndarray:
    """Pixels of shape (n, height, width), or (n, 1, …) encoded pictures."""
    try:
        if isinstance(values, list):
            pictures = [pixels(v if isinstance(v, bytes) else from_base64(v or ""), image) for v in values]
            return np.stack(pictures) if pictures else np.empty((0, image.height * image.width), np.float32)
        if shape[1:] not in ([image.height, image.width], [image.height * image.width]) or values.dtype.kind == "b":
            raise NotAPicture(f"numbers of shape [{shape[0]}, {image.height}, {image.width}]", f"shape {shape}")
        check_range(image, values)
    except NotAPicture as error:
        raise refuse(Wrong(f"inputs[{image.name!r}]", error.expected, error.received)) from None
    return values.reshape(shape[0], image.height * image.width).astype(np.float32)


def _wanted(model: Model, document: dict[str, Any]) -> dict[str, bool]:
    """The outputs to answer with, and whether as bytes."""
    parameters = document.get("parameters") or {}
    if not isinstance(parameters, dict):
        raise refuse(Wrong("$.parameters", "an object", kind(parameters)))
    binary = parameters.get("binary_data_output") is True
    names = output_names(model)
    if not document.get("outputs"):
        return dict.fromkeys(names, binary)
    outputs = document["outputs"]
    if not isinstance(outputs, list) or not all(isinstance(output, dict) for output in outputs):
        raise refuse(Wrong("$.outputs", "a list of objects with a name", "something else"))
    wrong = [output for output in outputs if output.get("name") not in names]
    if wrong:
        raise refuse(Wrong("$.outputs", f"names among {', '.join(names)}", "another name"))
    return {
        output["name"]: binary
        if not isinstance(p := output.get("parameters"), dict)
        else p.get("binary_data", binary) is True
        for output in outputs
    }


def output_names(model: Model) -> tuple[str, ...]:
    if model.schema.picks_one:
        return ("label", "probabilities")
    return ("probabilities",) if model.schema.classes else ("value",)


def _answer(model: Model, identifier: str | None, rows: Rows, wanted: dict[str, bool]) -> Answer:
    predictions = model.predict(rows)
    outputs, contents = [], []
    for name, binary in wanted.items():
        values: Any = predictions
        if name == "label":
            values = [model.schema.classes[best] for best in predictions.argmax(axis=1).tolist()]
        shape = [len(predictions), 1 if name == "label" else len(model.outputs)]
        entry, content = write_tensor(name, values, shape, binary)
        outputs.append(entry)
        contents.append(content)
    document: dict[str, Any] = {"model_name": model.name, "model_version": model.version, "outputs": outputs}
    if identifier is not None:
        document["id"] = identifier
    if warnings := model.warnings(rows):  # a parameter may be a string, a number or a boolean
        document["parameters"] = {"warnings": orjson.dumps(warnings["warnings"]).decode()}
    body = orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)
    if not any(wanted.values()):
        return Answer(body)
    headers = {"Inference-Header-Content-Length": str(len(body))}
    return Answer(body + b"".join(contents), "application/octet-stream", headers)


def server(model: Model) -> dict[str, Any]:
    """`GET /v2`."""
    return {"name": "mlp-pipeline", "version": model.version, "extensions": ["binary_tensor_data"]}


def metadata(model: Model) -> dict[str, Any]:
    """`GET /v2/models/{name}`."""
    inputs = [
        {"name": feature.name, "datatype": "BYTES" if isinstance(feature, CategoricalFeature) else "FP32",
         "shape": [-1, feature.height, feature.width] if isinstance(feature, ImageFeature) else [-1, 1]}
        for feature in model.schema.features
    ]  # fmt: skip
    outputs = [
        {"name": name, "datatype": "BYTES" if name == "label" else "FP32",
         "shape": [-1, 1 if name == "label" else len(model.outputs)]}
        for name in output_names(model)
    ]  # fmt: skip
    return {
        "name": model.name,
        "versions": [model.version],
        "platform": "onnxruntime_onnx",
        "inputs": inputs,
        "outputs": outputs,
    }
