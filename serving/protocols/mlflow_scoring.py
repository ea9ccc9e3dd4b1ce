"""MLflow's scoring protocol, `POST /invocations`. https://mlflow.org/docs/latest/genai/serving/"""

from typing import Any

import orjson

from serving.errors import FieldError, Problem, invalid_request, json_type, quote_name
from serving.model import ModelResponse, ServedModel
from serving.parsing.json_body import unknown_key_errors
from serving.parsing.media_type import MediaType
from serving.protocols.tensorflow_serving import column_rows
from serving.validation.csv_rows import csv_rows, header_errors
from serving.validation.validator import EncodedRows

FORMATS = ("dataframe_split", "dataframe_records", "instances", "inputs")


def invocations(model: ServedModel, body: bytes, media_type: MediaType) -> ModelResponse:
    """A record per row: a probability for each class, or the target's value, as the registered model returns them."""
    rows = csv_rows(model.validator, body) if media_type.name == "text/csv" else _document_rows(model, body)
    predictions = [dict(zip(model.outputs, row, strict=True)) for row in model.predict(rows).tolist()]
    return ModelResponse(orjson.dumps({"predictions": predictions, **model.warnings(rows)}))


def _document_rows(model: ServedModel, body: bytes) -> EncodedRows:
    document = model.validator.parse_json(body, ("instances", "inputs"))
    if errors := unknown_key_errors(document, (*FORMATS, "params")):
        raise invalid_request(*errors)
    if document.get("params"):
        raise invalid_request(
            FieldError("$.params", "none: the model has no parameters", json_type(document["params"]))
        )
    formats = [name for name in FORMATS if name in document]
    if len(formats) != 1:
        received = " and ".join(formats) or "none of them"
        raise Problem(400, f"expected exactly one of {', '.join(FORMATS)}, received {received}")
    data, path = document[formats[0]], f"$.{formats[0]}"
    if formats[0] == "dataframe_split":
        return _split_rows(model, data, path)
    if formats[0] == "inputs":
        return column_rows(model, data, path)
    return model.validator.validate_instances(data, path)


def _split_rows(model: ServedModel, frame: Any, path: str) -> EncodedRows:
    """`{"columns": [...], "data": [[...], ...]}`: the columns in any order, the schema's order if they are left out."""
    if not isinstance(frame, dict) or not isinstance(frame.get("data"), list):
        raise invalid_request(FieldError(path, 'an object with "columns" and "data"', json_type(frame)))
    errors = [
        FieldError(f"{path}[{quote_name(key)}]", "columns, data and index", "an unknown key")
        for key in frame
        if key not in ("columns", "data", "index")
    ]
    validator, data = model.validator, frame["data"]
    columns = frame.get("columns", list(validator.names))
    if not isinstance(columns, list) or not all(isinstance(name, str) for name in columns):
        raise invalid_request(*errors, FieldError(f"{path}.columns", "a list of names", json_type(columns)))
    errors += header_errors(f"{path}.columns", columns, validator.names, validator.ignored)
    if model.schema.image is None:
        for number, row in enumerate(data):
            if not isinstance(row, list) or len(row) != len(columns):
                received = f"{len(row)} values" if isinstance(row, list) else json_type(row)
                errors.append(FieldError(f"{path}.data[{number}]", f"a list of {len(columns)} values", received))
    if errors:
        raise invalid_request(*errors)
    if model.schema.image is not None:  # a row is an image, or a list with one image
        images = [row[0] if type(row) is list and len(row) == 1 else row for row in data]
        return validator.validate_instances(images, f"{path}.data")
    validator.check_row_count(len(data))
    positions = [columns.index(name) for name in validator.names]
    table = [[row[position] for position in positions] for row in data]
    return validator.validate_table(table, lambda row, name: f"{path}.data[{row}][{name!r}]", [])
