"""Tensors of the Open Inference Protocol: read from JSON or from bytes, written as either."""

import math
from itertools import chain
from typing import Any

import numpy as np

from serving.errors import Wrong, kind, refuse, shown
from serving.validation.rows import SKIP

DTYPES = {"BOOL": "bool", "FP16": "float16", "FP32": "float32", "FP64": "float64"} | {
    f"{sign}INT{bits}": f"{sign.lower()}int{bits}" for sign in ("", "U") for bits in (8, 16, 32, 64)
}
NONE = type(None)  # a missing value, which the protocol has no word for
KINDS: dict[str, set[type]] = {
    "BYTES": {str, NONE}, "BOOL": {bool}, "FP32": {int, float, NONE}, "FP64": {int, float, NONE},
}  # fmt: skip
LARGEST = 2**31  # elements; more never fit a request


def read_tensor(entry: Any, path: str, binary: memoryview, odd: list[Wrong]) -> tuple[str, list[int], Any, memoryview]:
    """One entry of `inputs`: its name, shape, flat values, and the bytes that are left for the next ones.

    The values are an array, or a list of str and bytes for BYTES; a list with SKIP where a value is of another type.

    Args:
        odd: gets a complaint about each such value, so that those of other tensors can follow.

    Raises:
        Problem: 400 where shape, datatype and data do not fit each other.
    """
    if not isinstance(entry, dict):
        raise refuse(Wrong(path, "an object with name, shape, datatype and data", kind(entry)))
    name, shape, datatype = entry.get("name"), entry.get("shape"), entry.get("datatype")
    errors = []
    if not isinstance(name, str):
        errors.append(Wrong(f"{path}.name", "a string", kind(name) if "name" in entry else "none"))
    if not isinstance(shape, list) or not all(type(size) is int and 0 <= size < LARGEST for size in shape):
        errors.append(Wrong(f"{path}.shape", "a list of whole numbers, zero or larger", "something else"))
    elif not shape or len(shape) > 4 or math.prod(shape) >= LARGEST:
        errors.append(Wrong(f"{path}.shape", "1 to 4 dimensions of a size that fits a request", "another shape"))
    if not isinstance(datatype, str) or (datatype not in DTYPES and datatype != "BYTES"):
        received = shown(datatype) if isinstance(datatype, str) else kind(datatype)
        errors.append(Wrong(f"{path}.datatype", f"BYTES, {', '.join(DTYPES)}", received))
    parameters = entry.get("parameters") or {}
    size = parameters.get("binary_data_size") if isinstance(parameters, dict) else None
    if size is not None and not (type(size) is int and 0 <= size <= len(binary)):
        errors.append(
            Wrong(f"{path}.parameters.binary_data_size", "a size within the body", "a larger or negative one")
        )
    if (size is None) != ("data" in entry):
        received = "both" if "data" in entry else "neither"
        errors.append(Wrong(path, "either data or parameters.binary_data_size", received))
    if errors:
        raise refuse(*errors)
    assert isinstance(name, str)
    assert isinstance(shape, list)
    assert isinstance(datatype, str)
    path = f"inputs[{shown(name)}]"
    if size is not None:
        values, binary = _from_bytes(binary[:size], datatype, path), binary[size:]
    else:
        values = _from_json(entry["data"], len(shape), datatype, path, odd)
    if len(values) != math.prod(shape):
        raise refuse(*odd, Wrong(path, f"{math.prod(shape)} values for shape {shape}", f"{len(values)} values"))
    return name, shape, values, binary


def write_tensor(
    name: str, values: np.ndarray | list[str], shape: list[int], binary: bool
) -> tuple[dict[str, Any], bytes]:
    """An entry of `outputs` and the bytes that follow the JSON: none unless `binary`."""
    is_text = isinstance(values, list)
    entry: dict[str, Any] = {"name": name, "datatype": "BYTES" if is_text else "FP32", "shape": shape}
    if not binary:
        return {**entry, "data": values if isinstance(values, list) else values.reshape(-1)}, b""
    if isinstance(values, list):
        encoded = [value.encode() for value in values]
        content = b"".join(len(value).to_bytes(4, "little") + value for value in encoded)
    else:
        content = np.ascontiguousarray(values, dtype="<f4").tobytes()
    return {**entry, "parameters": {"binary_data_size": len(content)}}, content


def _from_bytes(content: memoryview, datatype: str, path: str) -> Any:
    if datatype != "BYTES":
        dtype = np.dtype(DTYPES[datatype]).newbyteorder("<")
        if len(content) % dtype.itemsize:
            raise refuse(Wrong(path, f"a multiple of {dtype.itemsize} bytes", f"{len(content)} bytes"))
        return np.frombuffer(content, dtype)
    values = []
    while content:
        size = int.from_bytes(content[:4], "little")
        if len(content) < 4 + size:
            raise refuse(Wrong(path, "a 4-byte length and as many bytes for each value", "fewer bytes"))
        values.append(bytes(content[4 : 4 + size]))
        content = content[4 + size :]
    return values


def _from_json(data: Any, depth: int, datatype: str, path: str, odd: list[Wrong]) -> Any:
    if not isinstance(data, list):
        raise refuse(*odd, Wrong(f"{path}.data", "a list, flat or nested", kind(data)))
    for _ in range(depth - 1):
        if set(map(type, data)) == {list}:
            data = list(chain.from_iterable(data))
    wanted = KINDS.get(datatype, {int, float})
    if not set(map(type, data)) <= wanted:
        expected = f"a value of type {datatype}, as nested as the shape says"
        odd += [
            Wrong(f"{path}[{i}]", expected, kind(value)) for i, value in enumerate(data) if type(value) not in wanted
        ]
        return [value if type(value) in wanted else SKIP for value in data]
    if datatype == "BYTES":
        return data
    values = np.array(data, dtype=np.float64)
    if "INT" in datatype:
        limits = np.iinfo(DTYPES[datatype])
        if not ((values == np.floor(values)) & (values >= limits.min) & (values <= limits.max)).all():
            raise refuse(*odd, Wrong(f"{path}.data", f"whole numbers that fit {datatype}", "another number"))
    return values
