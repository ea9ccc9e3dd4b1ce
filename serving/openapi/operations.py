"""The request and response bodies of each route that predicts."""

import csv
import io
from typing import Any

from contracts.conformal import group_columns
from contracts.schema import CategoricalFeature, DateFeature, Feature, ImageFeature
from serving.model import ServedModel
from serving.protocols.open_inference import model_metadata, output_names
from serving.protocols.prediction_json import prediction_schema
from serving.protocols.routes import PredictRoute, Protocol

Json = dict[str, Any]
NUMBER, TEXT, OBJECT, ARRAY = ({"type": name} for name in ("number", "string", "object", "array"))
SHAPE = {"type": "array", "items": {"type": "integer"}}
BINARY = {"schema": {"description": "JSON, followed by tensors as bytes (the binary extension)"}}
BINARY_HEADER = {
    "name": "Inference-Header-Content-Length", "in": "header", "required": False,
    "description": "Bytes of JSON before the binary tensors", "schema": {"type": "integer", "minimum": 1},
}  # fmt: skip
EXPLAIN = {
    "name": "explain", "in": "query", "required": False, "schema": {"type": "boolean"},
    "description": "Adds the contribution of each feature to each prediction, for at most 10 rows",
}  # fmt: skip
CONFIDENCE = {
    "name": "confidence", "in": "query", "required": False,
    "description": "Adds an interval, or a set of classes or labels, that contains the truth with this probability",
    "schema": {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
}  # fmt: skip
GROUP = {
    "name": "group", "in": "query", "required": False,
    "description": "With `confidence`: a category; the probability then holds for each of its values",
}  # fmt: skip
PIXELS = "{height} rows of {width} numbers from 0 to {maximum:g}; or a PNG or JPEG in base64"


def predict_operation(model: ServedModel, route: PredictRoute) -> Json:
    """The OpenAPI operation of a route, with its response for status 200."""
    describe = {
        Protocol.PREDICT: _predict,
        Protocol.TENSORFLOW_SERVING: _tensorflow_serving,
        Protocol.OPEN_INFERENCE: _open_inference,
        Protocol.MLFLOW_SCORING: _mlflow_scoring,
    }[route.protocol]
    return describe(model)


def components(model: ServedModel) -> Json:
    """The schemas of an instance, a list of instances, and the warnings of a response."""
    warning = {"type": "object", "properties": {"path": TEXT, "message": TEXT}, "required": ["path", "message"]}
    return {"Instance": _instance(model), "Instances": _list_of(_ref("Instance")), "Warnings": _list_of(warning)}


def sample_instance(model: ServedModel) -> Any:
    """An example of an instance."""
    image = model.schema.image
    return model.schema.sample[image.name] if image else model.schema.sample


def _instance(model: ServedModel) -> Json:
    image = model.schema.image
    if image is not None:
        pixel = {"type": "number", "minimum": 0, "maximum": image.maximum}
        row = {"type": "array", "minItems": image.width, "maxItems": image.width, "items": pixel}
        return {"type": "array", "minItems": image.height, "maxItems": image.height, "items": row,
                "description": PIXELS.format(**image.model_dump())}  # fmt: skip
    gaps = model.schema.missing_elsewhere
    features = {f.name: _feature_schema(f, f.name in gaps) for f in model.schema.features}
    ignored = {name: {"description": f"Ignored: {why}."} for name, why in model.schema.ignored.items()}
    return _object(features, **ignored)


def _feature_schema(feature: Feature, has_gaps: bool) -> Json:
    assert not isinstance(feature, ImageFeature)
    null = ["null"] if feature.missing or has_gaps else []
    if isinstance(feature, CategoricalFeature):
        known = ", ".join(feature.categories)
        truth = ["boolean"] if sorted(map(str.lower, feature.categories)) == ["false", "true"] else []
        return {"type": ["string", *truth, *null], "description": f"Known: {known}. Any other value counts as unknown."}
    if isinstance(feature, DateFeature):
        return {"type": ["string", *null], "description": f"A date, as {feature.format} or ISO 8601."}
    return {
        "type": ["number", *null],
        "description": f"In training from {feature.minimum:g} to {feature.maximum:g}, median {feature.median:g}.",
    }


def _predict(model: ServedModel) -> Json:
    request = _object({"instances": _ref("Instances")})
    content = {"application/json": _with_example(request, {"instances": [sample_instance(model)]})}
    if model.schema.image is None:
        content["text/csv"] = _csv(model)
    else:
        file = {"type": "string", "contentMediaType": "image/png"}
        content |= {"image/png": {}, "image/jpeg": {}, "multipart/form-data": {"schema": _object({"file": file})}}
    predictions, identity = _list_of(prediction_schema(model.schema)), _object({"name": TEXT, "version": TEXT})
    response = _object({"predictions": predictions, "model": identity}, warnings=_ref("Warnings"))
    operation = _operation(f"Predict {model.schema.target.name} for any number of instances", content, response)
    groups = list(group_columns(model.schema))
    group = [{**GROUP, "schema": {"type": "string", "enum": groups}}] if groups else []
    return {**operation, "parameters": [CONFIDENCE, *group, EXPLAIN]}


def _tensorflow_serving(model: ServedModel) -> Json:
    name = {"signature_name": {"const": "serving_default"}}
    by_rows = _object({"instances": _ref("Instances")}, **name)
    by_columns = _object({"inputs": {"type": ["object", "array"]}}, **name)
    content = {
        "application/json": _with_example({"oneOf": [by_rows, by_columns]}, {"instances": [sample_instance(model)]})
    }
    rows, warnings = _list_of(_list_of(NUMBER)), {"warnings": _ref("Warnings")}
    response = {"oneOf": [_object({"predictions": rows}, **warnings), _object({"outputs": rows}, **warnings)]}
    return _operation("TensorFlow Serving: instances are rows, inputs are columns", content, response)


def _mlflow_scoring(model: ServedModel) -> Json:
    formats = [
        _object({"dataframe_split": OBJECT}),
        _object({"dataframe_records": _ref("Instances")}),
        _object({"instances": _ref("Instances")}),
        _object({"inputs": {"type": ["object", "array"]}}),
    ]
    content = {"application/json": _with_example({"oneOf": formats}, {"instances": [sample_instance(model)]})}
    if model.schema.image is None:
        content["text/csv"] = _csv(model)
    predictions = _list_of(_object(dict.fromkeys(model.outputs, NUMBER)))
    return _operation("MLflow scoring", content, _object({"predictions": predictions}, warnings=_ref("Warnings")))


def _open_inference(model: ServedModel) -> Json:
    tensor = _object({"name": TEXT, "shape": SHAPE, "datatype": TEXT}, data=ARRAY, parameters=OBJECT)
    request = _object({"inputs": _list_of(tensor)}, id=TEXT, parameters=OBJECT, outputs=_list_of(OBJECT))
    sample = model.schema.sample
    tensors = [
        {
            **entry,
            "shape": [1, *entry["shape"][1:]],
            "data": sample[entry["name"]] if model.schema.image else [sample[entry["name"]]],
        }
        for entry in model_metadata(model)["inputs"]
    ]
    content = {"application/json": _with_example(request, {"inputs": tensors}), "application/octet-stream": BINARY}
    names = {"enum": list(output_names(model))}
    output = _object({"name": names, "shape": SHAPE, "datatype": TEXT}, data=ARRAY, parameters=OBJECT)
    required = {"model_name": TEXT, "model_version": TEXT, "outputs": _list_of(output)}
    operation = _operation(
        "Open Inference Protocol v2, with the binary extension",
        content,
        _object(required, id=TEXT, parameters=OBJECT),
        {"application/octet-stream": BINARY},
    )
    return {**operation, "parameters": [BINARY_HEADER]}


def _csv(model: ServedModel) -> Json:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([model.validator.names, model.schema.sample.values()])
    return {"schema": TEXT, "example": text.getvalue()}


def _operation(summary: str, content: Json, response: Json, other_responses: Json | None = None) -> Json:
    """An operation whose response is JSON, or one of `other_responses` by media type."""
    ok = {
        "description": "A prediction for each row, in the same order",
        "content": {"application/json": {"schema": response}, **(other_responses or {})},
    }
    return {"summary": summary, "requestBody": {"required": True, "content": content}, "responses": {"200": ok}}


def _object(required: Json, **optional: Any) -> Json:
    properties = {**required, **optional}
    return {"type": "object", "required": list(required), "additionalProperties": False, "properties": properties}


def _list_of(items: Json) -> Json:
    return {"type": "array", "items": items}


def _with_example(schema: Json, example: Any) -> Json:
    return {"schema": schema, "example": example}


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}
