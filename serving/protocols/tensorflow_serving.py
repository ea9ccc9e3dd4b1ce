"""TensorFlow Serving's REST protocol. https://www.tensorflow.org/tfx/serving/api_rest"""

from typing import Any

import numpy as np
import orjson

from contracts.schema import CategoricalFeature, DateFeature, ImageFeature
from serving.errors import FieldError, Problem, invalid_request, json_type, quote_name
from serving.model import ModelResponse, ServedModel
from serving.parsing.json_body import unknown_key_errors
from serving.parsing.media_type import MediaType
from serving.validation.validator import EncodedRows

SIGNATURE = "serving_default"


def predict(model: ServedModel, body: bytes, media_type: MediaType) -> ModelResponse:
    """`predictions` for `instances` (rows), `outputs` for `inputs` (columns)."""
    document = model.validator.parse_json(body, ("instances", "inputs"))
    if errors := unknown_key_errors(document, ("instances", "inputs", "signature_name")):
        raise invalid_request(*errors)
    if document.get("signature_name", SIGNATURE) != SIGNATURE:
        raise invalid_request(FieldError("$.signature_name", SIGNATURE, "another"))
    if ("instances" in document) == ("inputs" in document):
        received = "both" if "inputs" in document else "neither"
        raise Problem(400, f"expected exactly one of instances and inputs, received {received}")
    if "instances" in document:
        rows, key = model.validator.validate_instances(document["instances"], "$.instances"), "predictions"
    else:
        rows, key = column_rows(model, document["inputs"], "$.inputs"), "outputs"
    content = {key: model.predict(rows), **model.warnings(rows)}
    return ModelResponse(orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY))


def column_rows(model: ServedModel, inputs: Any, path: str) -> EncodedRows:
    """The encoded rows of an object with a list of values per feature, or of a single tensor with all features."""
    validator = model.validator
    if isinstance(inputs, list | np.ndarray):
        return validator.validate_instances(inputs, path)
    if not isinstance(inputs, dict):
        raise invalid_request(FieldError(path, "a list of values for each feature", json_type(inputs)))
    errors = [
        FieldError(f"{path}[{name!r}]", "a list of values", "none") for name in validator.names if name not in inputs
    ]
    expected = f"a feature: {', '.join(validator.names)}"
    errors += [
        FieldError(f"{path}[{quote_name(name)}]", expected, "an unknown one")
        for name in inputs
        if name not in validator.names and name not in validator.ignored
    ]
    values = {name: value for name, value in inputs.items() if name in validator.names}
    errors += [
        FieldError(f"{path}[{name!r}]", "a list of values", json_type(value))
        for name, value in values.items()
        if not isinstance(value, list)
    ]
    if errors:
        raise invalid_request(*errors)
    if model.schema.image is not None:
        name = model.schema.image.name
        return validator.validate_instances(inputs[name], f"{path}[{name!r}]")
    # A column may also be the tensor of shape (n, 1) that the metadata declares.
    values = {name: [_unwrap(value) for value in column] for name, column in values.items()}
    n_rows = len(values[validator.names[0]])
    validator.check_row_count(n_rows)
    errors = [
        FieldError(f"{path}[{name!r}]", f"{n_rows} values, as the first feature has", f"{len(column)} values")
        for name, column in values.items()
        if len(column) != n_rows
    ]
    if errors:
        raise invalid_request(*errors)
    return validator.validate_columns(values, lambda row, name: f"{path}[{name!r}][{row}]", [])


def _unwrap(value: Any) -> Any:
    return value[0] if type(value) is list and len(value) == 1 else value


def status(model: ServedModel) -> dict[str, Any]:
    """`GET /v1/models/{name}`."""
    reason = model.not_ready_reason
    state, code, message = ("LOADING", "UNAVAILABLE", reason) if reason else ("AVAILABLE", "OK", "")
    status = {"error_code": code, "error_message": message}
    return {"model_version_status": [{"version": model.version, "state": state, "status": status}]}


def metadata(model: ServedModel) -> dict[str, Any]:
    """`GET /v1/models/{name}/metadata`: the signature's inputs and outputs."""
    inputs = {
        feature.name: _tensor(
            "DT_STRING" if isinstance(feature, CategoricalFeature | DateFeature) else "DT_FLOAT",
            [feature.height, feature.width] if isinstance(feature, ImageFeature) else [1],
        )
        for feature in model.schema.features
    }
    output = "probabilities" if model.schema.classes else "value"
    signature = {
        "inputs": inputs,
        "outputs": {output: _tensor("DT_FLOAT", [len(model.outputs)])},
        "method_name": "tensorflow/serving/predict",
    }
    return {
        "model_spec": {"name": model.name, "signature_name": "", "version": model.version},
        "metadata": {"signature_def": {"signature_def": {SIGNATURE: signature}}},
    }


def _tensor(dtype: str, shape: list[int]) -> dict[str, Any]:
    dimensions = [{"size": str(size), "name": ""} for size in (-1, *shape)]
    return {"dtype": dtype, "tensor_shape": {"dim": dimensions, "unknown_rank": False}, "name": ""}
