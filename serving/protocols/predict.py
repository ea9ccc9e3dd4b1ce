"""This project's own protocol: `POST /predict`."""

import orjson

from serving.errors import Problem, invalid_request
from serving.model import ModelResponse, ServedModel
from serving.parsing.json_body import unknown_key_errors
from serving.parsing.media_type import MediaType
from serving.protocols.image_upload import uploaded_rows
from serving.protocols.predict_options import PredictOptions, parse_options
from serving.protocols.prediction_json import prediction_objects
from serving.protocols.prediction_sets import add_sets
from serving.validation.csv_rows import csv_rows


def predict(model: ServedModel, body: bytes, media_type: MediaType, query: bytes = b"") -> ModelResponse:
    """Labels with probabilities, or values, for instances in JSON, the rows of a CSV text, or image files."""
    options = parse_options(query) if query else PredictOptions()
    if media_type.name == "text/csv":
        rows = csv_rows(model.validator, body)
    elif media_type.name != "application/json":
        rows = uploaded_rows(model.validator, body, media_type)
    else:
        document = model.validator.parse_json(body, ("instances",))
        if errors := unknown_key_errors(document, ("instances",)):
            raise invalid_request(*errors)
        if "instances" not in document:
            raise Problem(400, '$.instances: expected {"instances": [...]}, received no such key')
        rows = model.validator.validate_instances(document["instances"], "$.instances")
    values = model.predict(rows)
    predictions = prediction_objects(model.schema, values, model.manifest.threshold)
    if options.confidence is not None:
        add_sets(model, predictions, values, rows.encoded, options)
    if options.explain:
        for prediction, explanation in zip(predictions, model.explain(rows, values), strict=True):
            prediction["explanation"] = explanation
    identity = {"name": model.name, "version": model.version}
    return ModelResponse(orjson.dumps({"predictions": predictions, "model": identity, **model.warnings(rows)}))
