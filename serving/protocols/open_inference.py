"""The Open Inference Protocol, version 2, with its binary extension.

https://github.com/kserve/open-inference-protocol; Triton describes the extension.
"""

from typing import Any

import numpy as np
import orjson

from contracts.schema import CategoricalFeature, DateFeature, ImageFeature
from serving.errors import FieldError, Problem, invalid_request, json_type, quote_name
from serving.model import ModelResponse, ServedModel
from serving.parsing.image_files import ImageError, decode_base64, decode_image
from serving.parsing.json_body import unknown_key_errors
from serving.parsing.media_type import MediaType
from serving.protocols.open_inference_tensors import read_tensor, write_tensor
from serving.validation.images import check_pixels
from serving.validation.validator import EncodedRows

ROWS = "rows"  # the name of a tensor with all features, in the schema's order
KEYS = ("id", "inputs", "outputs", "parameters")


def infer(model: ServedModel, body: bytes, media_type: MediaType, json_length: str | None) -> ModelResponse:
    """`POST …/infer`.

    Args:
        json_length: the header `Inference-Header-Content-Length`: bytes of JSON, before the binary tensors.
    """
    length = len(body)
    if json_length is not None:
        if not json_length.isdecimal() or len(json_length) > 20 or not 0 < int(json_length) <= len(body):
            raise Problem(400, "Inference-Header-Content-Length: expected a length within the body, received another")
        length = int(json_length)
    document = model.validator.parse_json(body[:length])
    errors = unknown_key_errors(document, KEYS)
    if not isinstance(document.get("id", ""), str):
        errors.append(FieldError("$.id", "a string", json_type(document["id"])))
    if not isinstance(document.get("inputs"), list):
        errors.append(FieldError("$.inputs", "a list of tensors", json_type(document.get("inputs"))))
    if errors:
        raise invalid_request(*errors)
    outputs = _requested_outputs(model, document)
    tensors: dict[str, tuple[list[int], Any]] = {}
    value_errors: list[FieldError] = []
    binary = memoryview(body)[length:]
    for number, entry in enumerate(document["inputs"]):
        name, shape, values, binary = read_tensor(entry, f"$.inputs[{number}]", binary, value_errors)
        if name in tensors:
            raise invalid_request(FieldError(f"$.inputs[{number}].name", "each name once", "the same name again"))
        tensors[name] = (shape, values)
    if len(binary):
        raise invalid_request(FieldError("the body", "no bytes after the last tensor", f"{len(binary)} bytes"))
    rows = _rows(model, tensors, value_errors)
    return _response(model, document.get("id"), rows, outputs)


def _rows(model: ServedModel, tensors: dict[str, tuple[list[int], Any]], value_errors: list[FieldError]) -> EncodedRows:
    """The encoded rows of one tensor per feature, of one tensor `rows`, or of images."""
    validator, image = model.validator, model.schema.image
    one_tensor = set(tensors) == {ROWS} and image is None
    names = (ROWS,) if one_tensor else validator.names
    errors = [
        FieldError("$.inputs", f"a tensor {name!r}", "none of that name") for name in names if name not in tensors
    ]
    errors += [
        FieldError("$.inputs", f"no tensor but {', '.join(names)}", quote_name(name))
        for name in tensors
        if name not in names and name not in validator.ignored
    ]
    if errors:
        raise invalid_request(*value_errors, *errors)
    tensors = {name: tensor for name, tensor in tensors.items() if name in names}
    counts = {shape[0] for shape, _ in tensors.values()}
    if len(counts) > 1:
        expected = "the same number of rows in each tensor"
        raise invalid_request(FieldError("$.inputs", expected, f"{sorted(counts)[:5]}"))
    n_rows = counts.pop()
    validator.check_row_count(n_rows)
    if image is not None:
        if value_errors:
            raise invalid_request(*value_errors)
        return EncodedRows(_images(image, *tensors[image.name]))
    width = len(validator.names) if one_tensor else 1
    shapes = ([width], []) if width == 1 else ([width],)
    errors = [
        FieldError(f"inputs[{name!r}].shape", f"[{n_rows}, {width}]", f"{shape}")
        for name, (shape, _) in tensors.items()
        if shape[1:] not in shapes
    ]
    if errors:
        raise invalid_request(*value_errors, *errors)
    if one_tensor:
        values = _decode_texts(tensors[ROWS][1])
        columns = {name: values[position::width] for position, name in enumerate(validator.names)}
        return validator.validate_columns(columns, lambda row, name: f"inputs['{ROWS}'][{row}][{name!r}]", value_errors)
    columns = {name: _decode_texts(values) for name, (_, values) in tensors.items()}
    return validator.validate_columns(columns, lambda row, name: f"inputs[{name!r}][{row}]", value_errors)


def _decode_texts(values: Any) -> Any:
    """Bytes as text. The protocol has no missing value for BYTES, so an empty text is one."""
    if isinstance(values, np.ndarray):
        return values
    try:
        texts = [value.decode() if isinstance(value, bytes) else value for value in values]
    except UnicodeDecodeError:
        raise invalid_request(FieldError("$.inputs", "UTF-8 text", "other bytes")) from None
    return [None if text == "" else text for text in texts]


def _images(image: ImageFeature, shape: list[int], values: Any) -> np.ndarray:
    """Encoded rows of pixels of shape (n, height, width), or of image files of shape (n, 1)."""
    try:
        if isinstance(values, list):
            if shape[1:] not in ([], [1]):
                raise ImageError(f"picture files of shape [{shape[0]}, 1]", f"shape {shape}")
            rows = [decode_image(v if isinstance(v, bytes) else decode_base64(v or ""), image) for v in values]
            return np.stack(rows) if rows else np.empty((0, image.height * image.width), np.float32)
        if shape[1:] not in ([image.height, image.width], [image.height * image.width]) or values.dtype.kind == "b":
            raise ImageError(f"numbers of shape [{shape[0]}, {image.height}, {image.width}]", f"shape {shape}")
        check_pixels(image, values)
    except ImageError as error:
        raise invalid_request(FieldError(f"inputs[{image.name!r}]", error.expected, error.received)) from None
    return values.reshape(shape[0], image.height * image.width).astype(np.float32)


def _requested_outputs(model: ServedModel, document: dict[str, Any]) -> dict[str, bool]:
    """The names of the requested outputs, and whether each is to be binary."""
    parameters = document.get("parameters") or {}
    if not isinstance(parameters, dict):
        raise invalid_request(FieldError("$.parameters", "an object", json_type(parameters)))
    all_binary = parameters.get("binary_data_output") is True
    names = output_names(model)
    if not document.get("outputs"):
        return dict.fromkeys(names, all_binary)
    outputs = document["outputs"]
    if not isinstance(outputs, list) or not all(isinstance(output, dict) for output in outputs):
        raise invalid_request(FieldError("$.outputs", "a list of objects with a name", "something else"))
    if any(output.get("name") not in names for output in outputs):
        raise invalid_request(FieldError("$.outputs", f"names among {', '.join(names)}", "another name"))
    requested = {}
    for output in outputs:
        parameters = output.get("parameters")
        binary = parameters.get("binary_data", all_binary) if isinstance(parameters, dict) else all_binary
        requested[output["name"]] = binary is True
    return requested


def output_names(model: ServedModel) -> tuple[str, ...]:
    if model.schema.picks_one:
        return ("label", "probabilities")
    if model.schema.levels:
        return ("value", "quantiles")
    return ("probabilities",) if model.schema.classes else ("value",)


def width(model: ServedModel, name: str) -> int:
    """The number of columns of an output."""
    if name == "quantiles":
        return len(model.schema.levels)
    return 1 if name == "label" else len(model.schema.outputs)


def label_type(model: ServedModel) -> str:
    """The datatype of a class as it was in the data."""
    return {int: "INT64", bool: "BOOL"}.get(type(model.schema.labels[0]), "BYTES")


def _response(
    model: ServedModel, request_id: str | None, rows: EncodedRows, requested: dict[str, bool]
) -> ModelResponse:
    predictions = model.predict(rows)
    outputs, contents = [], []
    for name, binary in requested.items():
        values: Any = predictions
        if name == "label":
            values = [model.schema.labels[code] for code in model.decide(predictions).tolist()]
            if label_type(model) != "BYTES":
                values = np.array(values, np.array(model.schema.labels).dtype)  # also of no rows
        elif model.schema.levels:
            values = np.ascontiguousarray(predictions[:, :1] if name == "value" else predictions[:, 1:])
        shape = [len(predictions), width(model, name)]
        entry, content = write_tensor(name, values, shape, binary)
        outputs.append(entry)
        contents.append(content)
    document: dict[str, Any] = {"model_name": model.name, "model_version": model.version, "outputs": outputs}
    if request_id is not None:
        document["id"] = request_id
    if warnings := model.warnings(rows):  # a parameter may be a string, a number or a boolean
        document["parameters"] = {"warnings": orjson.dumps(warnings["warnings"]).decode()}
    body = orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)
    if not any(requested.values()):
        return ModelResponse(body)
    headers = {"Inference-Header-Content-Length": str(len(body))}
    return ModelResponse(body + b"".join(contents), "application/octet-stream", headers)


def server_metadata(model: ServedModel) -> dict[str, Any]:
    """`GET /v2`."""
    return {"name": "mlp-pipeline", "version": model.version, "extensions": ["binary_tensor_data"]}


def model_metadata(model: ServedModel) -> dict[str, Any]:
    """`GET /v2/models/{name}`."""
    inputs = [
        {
            "name": feature.name,
            "datatype": "BYTES" if isinstance(feature, CategoricalFeature | DateFeature) else "FP32",
            "shape": [-1, feature.height, feature.width] if isinstance(feature, ImageFeature) else [-1, 1],
        }
        for feature in model.schema.features
    ]
    outputs = [
        {
            "name": name,
            "datatype": label_type(model) if name == "label" else "FP32",
            "shape": [-1, width(model, name)],
        }
        for name in output_names(model)
    ]
    return {
        "name": model.name,
        "versions": [model.version],
        "platform": "onnxruntime_onnx",
        "inputs": inputs,
        "outputs": outputs,
    }
