"""What each route that predicts reads and answers."""

from typing import Any

from contracts.schema import CategoricalFeature, Feature, ImageFeature
from serving.model import Model
from serving.protocols.answers import described
from serving.protocols.open_inference import metadata, output_names

NUMBER = {"type": "number"}
PIXELS = "{height} rows of {width} numbers from 0 to {maximum:g}; or a PNG or JPEG in base64"


def operation(model: Model, path: str) -> dict[str, Any]:
    """The OpenAPI operation of a route, its answer under `answer`."""
    if path == "/predict":
        return _ours(model)
    if path == "/invocations":
        return _mlflow(model)
    return _tensorflow(model) if path.startswith("/v1") else _inference(model)


def components(model: Model) -> dict[str, Any]:
    """An instance, a list of them, and the warnings of an answer."""
    text = {"type": "string"}
    warning = {"type": "object", "properties": {"path": text, "message": text}, "required": ["path", "message"]}
    instances = {"type": "array", "items": {"$ref": "#/components/schemas/Instance"}}
    return {"Instance": _instance(model), "Instances": instances, "Warnings": {"type": "array", "items": warning}}


def sample(model: Model) -> Any:
    """An instance to try."""
    image = model.schema.image
    return model.schema.sample[image.name] if image else model.schema.sample


def _instance(model: Model) -> dict[str, Any]:
    image = model.schema.image
    if image is not None:
        pixel = {"type": "number", "minimum": 0, "maximum": image.maximum}
        row = {"type": "array", "minItems": image.width, "maxItems": image.width, "items": pixel}
        return {"type": "array", "minItems": image.height, "maxItems": image.height, "items": row,
                "description": PIXELS.format(**image.model_dump())}  # fmt: skip
    return {
        "type": "object",
        "required": [feature.name for feature in model.schema.features],
        "additionalProperties": False,
        "properties": {feature.name: _property(feature) for feature in model.schema.features},
    }


def _property(feature: Feature) -> dict[str, Any]:
    assert not isinstance(feature, ImageFeature)
    null = ["null"] if feature.missing else []
    if isinstance(feature, CategoricalFeature):
        known = ", ".join(feature.categories)
        return {"type": ["string", *null], "description": f"Known: {known}. Another one is taken as unknown."}
    return {
        "type": ["number", *null],
        "description": f"In training from {feature.minimum:g} to {feature.maximum:g}, median {feature.median:g}.",
    }


def _ours(model: Model) -> dict[str, Any]:
    prediction = described(model.schema)
    identity = _object({"name": {"type": "string"}, "version": {"type": "string"}})
    content = {"application/json": _example(_object({"instances": _ref("Instances")}), {"instances": [sample(model)]})}
    if model.schema.image is None:
        content["text/csv"] = _csv(model)
    else:
        binary = {"type": "string", "contentMediaType": "image/png"}
        content |= {"image/png": {}, "image/jpeg": {}, "multipart/form-data": {"schema": _object({"file": binary})}}
    answer = _object(
        {"predictions": {"type": "array", "items": prediction}, "model": identity}, warnings=_ref("Warnings")
    )
    return _operation(f"Predict {model.schema.target.name} for any number of instances", content, answer)


def _tensorflow(model: Model) -> dict[str, Any]:
    name = {"signature_name": {"const": "serving_default"}}
    by_rows = _object({"instances": _ref("Instances")}, **name)
    by_columns = _object({"inputs": {"type": ["object", "array"]}}, **name)
    content = {"application/json": _example({"oneOf": [by_rows, by_columns]}, {"instances": [sample(model)]})}
    rows = {"type": "array", "items": {"type": "array", "items": NUMBER}}
    warnings = {"warnings": _ref("Warnings")}
    answer = {"oneOf": [_object({"predictions": rows}, **warnings), _object({"outputs": rows}, **warnings)]}
    return _operation("TensorFlow Serving: instances are rows, inputs are columns", content, answer)


def _mlflow(model: Model) -> dict[str, Any]:
    formats: list[dict[str, Any]] = [
        _object({"dataframe_split": {"type": "object"}}),
        _object({"dataframe_records": _ref("Instances")}),
        _object({"instances": _ref("Instances")}),
        _object({"inputs": {"type": ["object", "array"]}}),
    ]
    content = {"application/json": _example({"oneOf": formats}, {"instances": [sample(model)]})}
    if model.schema.image is None:
        content["text/csv"] = _csv(model)
    record = _object(dict.fromkeys(model.outputs, NUMBER))
    answer = _object({"predictions": {"type": "array", "items": record}}, warnings=_ref("Warnings"))
    return _operation("MLflow scoring", content, answer)


def _inference(model: Model) -> dict[str, Any]:
    described = metadata(model)
    shape = {"type": "array", "items": {"type": "integer"}}
    text = {"type": "string"}
    tensor = _object(
        {"name": text, "shape": shape, "datatype": text}, data={"type": "array"}, parameters={"type": "object"}
    )
    request = _object(
        {"inputs": {"type": "array", "items": tensor}},
        id=text, parameters={"type": "object"}, outputs={"type": "array", "items": {"type": "object"}},
    )  # fmt: skip
    first = model.schema.sample
    tensors = [
        {
            **entry,
            "shape": [1, *entry["shape"][1:]],
            "data": first[entry["name"]] if model.schema.image else [first[entry["name"]]],
        }
        for entry in described["inputs"]
    ]
    content = {
        "application/json": _example(request, {"inputs": tensors}),
        "application/octet-stream": {"schema": {"description": "JSON, then tensors as bytes: the binary extension"}},
    }
    name = {"enum": list(output_names(model))}
    optional = {"data": {"type": "array"}, "parameters": {"type": "object"}}
    output = _object({"name": name, "shape": shape, "datatype": text}, **optional)
    answer = _object(
        {"model_name": text, "model_version": text, "outputs": {"type": "array", "items": output}},
        id=text, parameters={"type": "object"},
    )  # fmt: skip
    return {
        **_operation("Open Inference Protocol v2, with the binary extension", content, answer),
        "parameters": [{
            "name": "Inference-Header-Content-Length", "in": "header", "required": False,
            "description": "Where the JSON ends, for the binary extension",
            "schema": {"type": "integer", "minimum": 1},
        }],
    }  # fmt: skip


def _csv(model: Model) -> dict[str, Any]:
    header = ",".join(f'"{name}"' if "," in name else name for name in model.door.names)
    row = ",".join("" if value is None else str(value) for value in model.schema.sample.values())
    return {"schema": {"type": "string"}, "example": f"{header}\n{row}\n"}


def _operation(summary: str, content: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
    described = {"application/json": {"schema": answer}}
    if "Open Inference" in summary:
        described["application/octet-stream"] = {"schema": {"description": "JSON, then tensors as bytes"}}
    answered = {"description": "A prediction for each row, in the same order", "content": described}
    return {"summary": summary, "requestBody": {"required": True, "content": content}, "answer": answered}


def _object(required: dict[str, Any], **optional: Any) -> dict[str, Any]:
    properties = {**required, **optional}
    return {"type": "object", "required": list(required), "additionalProperties": False, "properties": properties}


def _example(schema: dict[str, Any], example: Any) -> dict[str, Any]:
    return {"schema": schema, "example": example}


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}
