"""TensorFlow Serving's REST protocol. https://www.tensorflow.org/tfx/serving/api_rest"""

from typing import Any

import numpy as np
import orjson

from contracts.schema import CategoricalFeature, ImageFeature
from serving.errors import Problem, Wrong, kind, refuse
from serving.model import Answer, Model
from serving.parsing.json_body import check_keys, parse_object
from serving.validation.rows import Rows

SIGNATURE = "serving_default"


def predict(model: Model, body: bytes, content_type: str) -> Answer:
    """`instances` (rows) are answered with `predictions`, `inputs` (columns) with `outputs`."""
    document = parse_object(body, ("instances", "inputs"), model.door.max_lists)
    if errors := check_keys(document, ("instances", "inputs", "signature_name")):
        raise refuse(*errors)
    if document.get("signature_name", SIGNATURE) != SIGNATURE:
        raise refuse(Wrong("$.signature_name", SIGNATURE, "another"))
    if ("instances" in document) == ("inputs" in document):
        received = "both" if "inputs" in document else "neither"
        raise Problem(400, f"expected exactly one of instances and inputs, received {received}")
    if "instances" in document:
        rows, key = model.door.instances(document["instances"], "$.instances"), "predictions"
    else:
        rows, key = columns(model, document["inputs"], "$.inputs"), "outputs"
    answer = {key: model.predict(rows), **model.warnings(rows)}
    return Answer(orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY))


def columns(model: Model, inputs: Any, path: str) -> Rows:
    """A list of values for each feature by name; a list of rows where there is one tensor only."""
    door = model.door
    if isinstance(inputs, list | np.ndarray):
        return door.instances(inputs, path)
    if not isinstance(inputs, dict):
        raise refuse(Wrong(path, "a list of values for each feature", kind(inputs)))
    errors = [Wrong(f"{path}[{name!r}]", "a list of values", "none") for name in door.names if name not in inputs]
    errors += [Wrong(f"{path}[{name[:60]!r}]", f"a feature: {', '.join(door.names)}", "an unknown one")
               for name in inputs if name not in door.names]  # fmt: skip
    values = {name: value for name, value in inputs.items() if name in door.names}
    errors += [Wrong(f"{path}[{name!r}]", "a list of values", kind(value))
               for name, value in values.items() if not isinstance(value, list)]  # fmt: skip
    if errors:
        raise refuse(*errors)
    if model.schema.image is not None:
        return door.instances(inputs[model.schema.image.name], f"{path}[{model.schema.image.name!r}]")
    # A column may also be written as the tensor of shape (n, 1) that the metadata declares.
    values = {name: [_single(value) for value in column] for name, column in values.items()}
    n_rows = len(values[door.names[0]])
    door.check_count(n_rows)
    errors = [Wrong(f"{path}[{name!r}]", f"{n_rows} values, as the first feature has", f"{len(column)} values")
              for name, column in values.items() if len(column) != n_rows]  # fmt: skip
    if errors:
        raise refuse(*errors)
    return door.columns(values, lambda row, name: f"{path}[{name!r}][{row}]", [])


def _single(value: Any) -> Any:
    return value[0] if type(value) is list and len(value) == 1 else value


def status(model: Model) -> dict[str, Any]:
    """`GET /v1/models/{name}`."""
    state, code, message = (
        ("AVAILABLE", "OK", "") if not model.not_ready else ("LOADING", "UNAVAILABLE", model.not_ready)
    )
    status = {"error_code": code, "error_message": message}
    return {"model_version_status": [{"version": model.version, "state": state, "status": status}]}


def metadata(model: Model) -> dict[str, Any]:
    """`GET /v1/models/{name}/metadata`: the signature's inputs and outputs."""
    image = model.schema.image
    inputs = {
        feature.name: _tensor("DT_STRING" if isinstance(feature, CategoricalFeature) else "DT_FLOAT",
                              [image.height, image.width] if isinstance(feature, ImageFeature) and image else [1])
        for feature in model.schema.features
    }  # fmt: skip
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
