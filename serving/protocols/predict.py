"""Our own protocol: `POST /predict`."""

import orjson

from serving.errors import Problem, refuse
from serving.model import Answer, Model
from serving.parsing.json_body import check_keys, parse_object
from serving.protocols.answers import readable
from serving.protocols.upload import picture_rows
from serving.validation.csv_rows import csv_rows

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
        document = parse_object(body, ("instances",), model.door.max_lists)
        if errors := check_keys(document, ("instances",)):
            raise refuse(*errors)
        if "instances" not in document:
            raise Problem(400, '$.instances: expected {"instances": [...]}, received no such key')
        rows = model.door.instances(document["instances"], "$.instances")
    predictions = readable(model.schema, model.predict(rows))
    identity = {"name": model.name, "version": model.version}
    return Answer(orjson.dumps({"predictions": predictions, "model": identity, **model.warnings(rows)}))
