"""MLflow's scoring protocol, `POST /invocations`. https://mlflow.org/docs/latest/genai/serving/"""

from typing import Any

import orjson

from serving.errors import Problem, Wrong, kind, refuse, shown
from serving.model import Answer, Model
from serving.parsing.json_body import check_keys, parse_object
from serving.protocols.tensorflow_serving import columns
from serving.validation.csv_rows import csv_rows
from serving.validation.rows import Rows

FORMATS = ("dataframe_split", "dataframe_records", "instances", "inputs")


def invocations(model: Model, body: bytes, content_type: str) -> Answer:
    """A record a row: a probability for each class, or the target's value, as the registered model answers."""
    rows = csv_rows(model.door, body) if content_type.startswith("text/csv") else _document_rows(model, body)
    predictions = [dict(zip(model.outputs, row, strict=True)) for row in model.predict(rows).tolist()]
    return Answer(orjson.dumps({"predictions": predictions, **model.warnings(rows)}))


def _document_rows(model: Model, body: bytes) -> Rows:
    document = parse_object(body, ("instances", "inputs"), model.door.max_lists)
    if errors := check_keys(document, (*FORMATS, "params")):
        raise refuse(*errors)
    if document.get("params"):
        raise refuse(Wrong("$.params", "none: the model has no parameters", kind(document["params"])))
    given = [name for name in FORMATS if name in document]
    if len(given) != 1:
        received = " and ".join(given) or "none of them"
        raise Problem(400, f"expected exactly one of {', '.join(FORMATS)}, received {received}")
    data, path = document[given[0]], f"$.{given[0]}"
    if given[0] == "dataframe_split":
        return _split(model, data, path)
    if given[0] == "inputs":
        return columns(model, data, path)
    return model.door.instances(data, path)


def _split(model: Model, frame: Any, path: str) -> Rows:
    """`{"columns": [...], "data": [[...], ...]}`: the columns in any order, or none for the schema's."""
    if not isinstance(frame, dict) or not isinstance(frame.get("data"), list):
        raise refuse(Wrong(path, 'an object with "columns" and "data"', kind(frame)))
    errors = [Wrong(f"{path}[{shown(key)}]", "columns, data and index", "an unknown key")
              for key in frame if key not in ("columns", "data", "index")]  # fmt: skip
    names, data, door = frame.get("columns", list(model.door.names)), frame["data"], model.door
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise refuse(*errors, Wrong(f"{path}.columns", "a list of names", kind(names)))
    errors += [
        Wrong(f"{path}.columns", f"a column {name!r}", "none of that name") for name in door.names if name not in names
    ]
    errors += [
        Wrong(f"{path}.columns", "no column that is no feature", shown(name))
        for name in names
        if name not in door.names
    ]
    errors += [
        Wrong(f"{path}.columns", "each name once", f"{shown(name)} twice")
        for name in door.names
        if names.count(name) > 1
    ]
    if model.schema.image is None:  # an image's row may be the image itself, or a list with it alone
        for number, row in enumerate(data):
            if not isinstance(row, list) or len(row) != len(names):
                received = f"{len(row)} values" if isinstance(row, list) else kind(row)
                errors.append(Wrong(f"{path}.data[{number}]", f"a list of {len(names)} values", received))
    if errors:
        raise refuse(*errors)
    if model.schema.image is not None:
        images = [row[0] if type(row) is list and len(row) == 1 else row for row in data]
        return door.instances(images, f"{path}.data")
    door.check_count(len(data))
    positions = [names.index(name) for name in door.names]
    table = [[row[position] for position in positions] for row in data]
    return door.table(table, lambda row, name: f"{path}.data[{row}][{name!r}]", [])
