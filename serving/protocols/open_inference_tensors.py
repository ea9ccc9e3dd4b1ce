"""Tensors of the Open Inference Protocol: read from JSON or from bytes, written as either."""

import math
from itertools import chain
from typing import Any

import numpy as np

from serving.errors import FieldError, invalid_request, json_type, quote_name
from serving.validation.columns import REPORTED

DTYPES = {"BOOL": "bool", "FP16": "float16", "FP32": "float32", "FP64": "float64"} | {
    f"{sign}INT{bits}": f"{sign.lower()}int{bits}" for sign in ("", "U") for bits in (8, 16, 32, 64)
}
DATATYPES = {name: datatype for datatype, name in DTYPES.items()}
NONE = type(None)  # null means a missing value, which the protocol does not have
JSON_TYPES: dict[str, set[type]] = {
    "BYTES": {str, NONE}, "BOOL": {bool}, "FP32": {int, float, NONE}, "FP64": {int, float, NONE},
}  # fmt: skip
MAX_ELEMENTS = 2**31  # dimensions of a tensor


def read_tensor(
    entry: Any, path: str, binary: memoryview, value_errors: list[FieldError]
) -> tuple[str, list[int], Any, memoryview]:
    """One entry of `inputs`: its name, shape, flat values, and the bytes that remain for the next entries.

    The values are an array, or a list of str and bytes for BYTES, or a list with REPORTED in place of invalid values.

    Args:
        value_errors: gets an error for each value of a wrong type, so that other tensors are still checked.

    Raises:
        Problem: 400 if shape, datatype and data do not fit each other.
    """
    if not isinstance(entry, dict):
        raise invalid_request(FieldError(path, "an object with name, shape, datatype and data", json_type(entry)))
    name, shape, datatype = entry.get("name"), entry.get("shape"), entry.get("datatype")
    errors = []
    if not isinstance(name, str):
        errors.append(FieldError(f"{path}.name", "a string", json_type(name) if "name" in entry else "none"))
    if not isinstance(shape, list) or not all(type(size) is int and 0 <= size < MAX_ELEMENTS for size in shape):
        errors.append(FieldError(f"{path}.shape", "a list of whole numbers, zero or larger", "something else"))
    elif not shape or len(shape) > 4 or math.prod(shape) >= MAX_ELEMENTS:
        errors.append(FieldError(f"{path}.shape", "1 to 4 dimensions of a size that fits a request", "another shape"))
    if not isinstance(datatype, str) or (datatype not in DTYPES and datatype != "BYTES"):
        received = quote_name(datatype) if isinstance(datatype, str) else json_type(datatype)
        errors.append(FieldError(f"{path}.datatype", f"BYTES, {', '.join(DTYPES)}", received))
    parameters = entry.get("parameters") or {}
    size = parameters.get("binary_data_size") if isinstance(parameters, dict) else None
    if size is not None and not (type(size) is int and 0 <= size <= len(binary)):
        size_path = f"{path}.parameters.binary_data_size"
        errors.append(FieldError(size_path, "a size within the body", "a larger or negative one"))
    if (size is None) != ("data" in entry):
        received = "both" if "data" in entry else "neither"
        errors.append(FieldError(path, "either data or parameters.binary_data_size", received))
    if errors:
        raise invalid_request(*errors)
    assert isinstance(name, str)
    assert isinstance(shape, list)
    assert isinstance(datatype, str)
    path = f"inputs[{quote_name(name)}]"
    if size is not None:
        values, binary = _from_bytes(binary[:size], datatype, path), binary[size:]
    else:
        values = _from_json(entry["data"], len(shape), datatype, path, value_errors)
    if len(values) != (expected := math.prod(shape)):
        error = FieldError(path, f"{expected} values for shape {shape}", f"{len(values)} values")
        raise invalid_request(*value_errors, error)
    return name, shape, values, binary


def write_tensor(
    name: str, values: np.ndarray | list[str], shape: list[int], binary: bool
) -> tuple[dict[str, Any], bytes]:
    """An entry of `outputs`, and the bytes that follow the JSON: none unless `binary`."""
    datatype = "BYTES" if isinstance(values, list) else DATATYPES[values.dtype.name]
    entry: dict[str, Any] = {"name": name, "datatype": datatype, "shape": shape}
    if not binary:
        return {**entry, "data": values if isinstance(values, list) else values.reshape(-1)}, b""
    if isinstance(values, list):
        encoded = [value.encode() for value in values]
        content = b"".join(len(value).to_bytes(4, "little") + value for value in encoded)
    else:
        content = np.ascontiguousarray(values, values.dtype.newbyteorder("<")).tobytes()
    return {**entry, "parameters": {"binary_data_size": len(content)}}, content


def _from_bytes(content: memoryview, datatype: str, path: str) -> Any:
    if datatype != "BYTES":
        dtype = np.dtype(DTYPES[datatype]).newbyteorder("<")
        if len(content) % dtype.itemsize:
            raise invalid_request(FieldError(path, f"a multiple of {dtype.itemsize} bytes", f"{len(content)} bytes"))
        return np.frombuffer(content, dtype)
    values = []
    while content:
        size = int.from_bytes(content[:4], "little")
        if len(content) < 4 + size:
            raise invalid_request(FieldError(path, "a 4-byte length and as many bytes for each value", "fewer bytes"))
        values.append(bytes(content[4 : 4 + size]))
        content = content[4 + size :]
    return values


def _from_json(data: Any, depth: int, datatype: str, path: str, value_errors: list[FieldError]) -> Any:
    if not isinstance(data, list):
        raise invalid_request(*value_errors, FieldError(f"{path}.data", "a list, flat or nested", json_type(data)))
    for _ in range(depth - 1):
        if set(map(type, data)) == {list}:
            data = list(chain.from_iterable(data))
    allowed = JSON_TYPES.get(datatype, {int, float})
    if not set(map(type, data)) <= allowed:
        expected = f"a value of type {datatype}, as nested as the shape says"
        value_errors += [
            FieldError(f"{path}[{position}]", expected, json_type(value))
            for position, value in enumerate(data)
            if type(value) not in allowed
        ]
        return [value if type(value) in allowed else REPORTED for value in data]
    if datatype == "BYTES":
        return data
    if datatype == "BOOL":
        return np.array(data, dtype=bool)
    values = np.array(data, dtype=np.float64)
    dtype = np.dtype(DTYPES[datatype])
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        if not ((values == np.floor(values)) & (values >= limits.min) & (values <= limits.max)).all():
            error = FieldError(f"{path}.data", f"whole numbers that fit {datatype}", "another number")
            raise invalid_request(*value_errors, error)
    return values
