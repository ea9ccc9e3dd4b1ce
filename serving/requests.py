"""From the body of a request to encoded rows, checked against the schema."""

from typing import Any

import numpy as np
import orjson

from pipeline.schema import CategoricalFeature, Feature, ImageFeature, NumericFeature, Schema, encode
from serving.problems import Problem, Wrong, refuse

FLOAT32_MAX = float(np.finfo(np.float32).max)


def parse_json(body: bytes) -> Any:
    """Strict JSON: UTF-8, no NaN, no Infinity.

    Raises:
        Problem: 400, saying where the text stops being JSON.
    """
    if not body.strip():
        raise Problem(400, "the body is empty: expected a JSON object such as the example in /docs")
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Problem(400, f"the body is not JSON: {error}") from None


def parse_instances(schema: Schema, body: bytes) -> np.ndarray:
    """Rows of `{"instances": [...]}`: objects by feature name, or images as rows of pixels.

    Returns:
        float32 array of shape (n_instances, schema.input_width).

    Raises:
        Problem: 400, with everything that is wrong.
    """
    document = parse_json(body)
    if not isinstance(document, dict):
        raise refuse([Wrong("$", 'an object {"instances": [...]}', _kind(document))])
    errors = [Wrong(f"$.{key}", 'no key but "instances"', repr(key)) for key in document if key != "instances"]
    instances = document.get("instances")
    if not isinstance(instances, list):
        received = _kind(instances) if "instances" in document else "no such key"
        errors.append(Wrong("$.instances", "a list of instances", received))
    if errors:
        raise refuse(errors)
    if not instances:
        return np.empty((0, schema.input_width), dtype=np.float32)
    if schema.image is not None:
        return _images(schema, schema.image, instances)
    return _rows(schema, instances)


def _rows(schema: Schema, instances: list[Any]) -> np.ndarray:
    names = {feature.name for feature in schema.features}
    errors: list[Wrong] = []
    for number, row in enumerate(instances):
        path = f"$.instances[{number}]"
        if not isinstance(row, dict):
            errors.append(Wrong(path, "an object with a value for each feature", _kind(row)))
            continue
        for name in row.keys() - names:
            errors.append(
                Wrong(f"{path}[{name!r}]", f"a feature of the model ({', '.join(sorted(names))})", "an unknown one")
            )
        for feature in schema.features:
            wrong = _check(feature, row, f"{path}[{feature.name!r}]")
            if wrong is not None:
                errors.append(wrong)
    if errors:
        raise refuse(errors)
    return encode(schema, {name: [row.get(name) for row in instances] for name in names})


def _check(feature: Feature, row: dict[str, Any], path: str) -> Wrong | None:
    """What is wrong with one value, if anything."""
    wanted = "a number" if isinstance(feature, NumericFeature) else "a string"
    if feature.name not in row:
        return Wrong(path, wanted, "no value")
    value = row[feature.name]
    if value is None:
        may_be_missing = not isinstance(feature, ImageFeature) and feature.missing
        return None if may_be_missing else Wrong(path, f"{wanted} (training saw none missing)", "null")
    if isinstance(feature, CategoricalFeature):
        return None if isinstance(value, str) else Wrong(path, wanted, _kind(value))
    if isinstance(value, bool) or not isinstance(value, int | float):
        return Wrong(path, wanted, _kind(value))
    if not abs(value) <= FLOAT32_MAX:
        return Wrong(path, "a number that fits 32-bit floating point", f"{value:.3g}")
    return None


def _images(schema: Schema, image: ImageFeature, instances: list[Any]) -> np.ndarray:
    shape = f"{image.height} rows of {image.width} numbers from 0 to {image.maximum:g}"
    errors: list[Wrong] = []
    rows = np.empty((len(instances), schema.input_width), dtype=np.float32)
    for number, pixels in enumerate(instances):
        path = f"$.instances[{number}]"
        if isinstance(pixels, dict) and list(pixels) == [image.name]:
            path, pixels = f"{path}.{image.name}", pixels[image.name]
        try:
            array = np.array(pixels)
        except ValueError:  # ragged
            errors.append(Wrong(path, shape, "rows of different lengths"))
            continue
        if array.dtype.kind not in "iuf":
            errors.append(
                Wrong(path, shape, _kind(pixels) if not isinstance(pixels, list) else "something else than numbers")
            )
        elif array.shape != (image.height, image.width):
            errors.append(Wrong(path, shape, f"an array of shape {array.shape}"))
        elif not (array.min() >= 0 and array.max() <= image.maximum):
            errors.append(Wrong(path, shape, f"numbers from {array.min():g} to {array.max():g}"))
        else:
            rows[number] = array.reshape(-1)
    if errors:
        raise refuse(errors)
    return rows


def _kind(value: Any) -> str:
    """What a JSON value is, without repeating it."""
    if value is None:
        return "null"
    kinds = {bool: "a boolean", str: "a string", int: "a number", float: "a number", list: "a list", dict: "an object"}
    return kinds[type(value)]
