"""Our own protocol: `POST /predict`."""

from typing import Any

import numpy as np
import orjson

from serving.model import Answer, Model
from serving.problems import Problem, refuse
from serving.protocols.csv_rows import csv_rows
from serving.protocols.upload import picture_rows
from serving.strict_json import check_keys, parse_object

ROWS = ("application/json", "text/csv")
IMAGES = ("application/json", "image/png", "image/jpeg", "multipart/form-data")


def predict(model: Model, body: bytes, content_type: str) -> Answer:
    """Labels with probabilities, or values, for instances, the rows of a CSV file, or a picture."""
    kind = content_type.partition(";")[0]
    if kind == "text/csv":
        rows = csv_rows(model.door, body)
    elif kind != "application/json":
        rows = picture_rows(model.door, body, content_type)
    else:
        document = parse_object(body)
        if errors := check_keys(document, ("instances",)):
            raise refuse(*errors)
        if "instances" not in document:
            raise Problem(400, '$.instances: expected {"instances": [...]}, received no such key')
        rows = model.door.instances(document["instances"], "$.instances")
    predictions = readable(model, model.predict(rows))
    identity = {"name": model.name, "version": model.version}
    return Answer(orjson.dumps({"predictions": predictions, "model": identity, **model.warnings(rows)}))


def readable(model: Model, predictions: np.ndarray) -> list[dict[str, Any]]:
    """One object a row."""
    classes = model.schema.classes
    if not classes:
        return [{"value": value} for value in predictions[:, 0].tolist()]
    return [
        {"label": classes[best], "probability": row[best], "probabilities": dict(zip(classes, row, strict=True))}
        for best, row in zip(predictions.argmax(axis=1).tolist(), predictions.tolist(), strict=True)
    ]
