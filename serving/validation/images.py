"""Images of a request: nested numbers, flat numbers, or a PNG or JPEG in base64."""

from itertools import chain
from typing import Any

import numpy as np

from contracts.schema import ImageFeature
from serving.errors import Wrong, kind, refuse
from serving.parsing.pictures import NotAPicture, from_base64, pixels

NUMBERS = {int, float}


def image_rows(image: ImageFeature, instances: list[Any], path: str) -> np.ndarray:
    """Encoded rows, float32 of shape (n_instances, height * width).

    Raises:
        Problem: 400, with what is wrong with each image.
    """
    if (rows := _all_nested(image, instances)) is not None:
        return rows
    errors: list[Wrong] = []
    rows = np.zeros((len(instances), image.height * image.width), dtype=np.float32)
    for number, instance in enumerate(instances):
        try:
            rows[number] = _one(image, instance)
        except NotAPicture as error:
            errors.append(Wrong(f"{path}[{number}]", error.expected, error.received))
    if errors:
        raise refuse(*errors)
    return rows


def image_array(image: ImageFeature, values: np.ndarray) -> np.ndarray | None:
    """Encoded rows of images that came as one array of shape (n, height, width) or (n, height * width), n > 0.

    None where something is wrong with one.
    """
    if values.shape[1:] not in ((image.height, image.width), (image.height * image.width,)):
        return None
    if not (values.min() >= 0 and values.max() <= image.maximum):
        return None
    return values.astype(np.float32).reshape(len(values), -1)


def check_range(image: ImageFeature, values: np.ndarray) -> None:
    """Raises NotAPicture where a pixel is no pixel; NaN is none."""
    if values.size and not (values.min() >= 0 and values.max() <= image.maximum):
        raise NotAPicture(_shape(image), "a number outside of that")


def _all_nested(image: ImageFeature, instances: list[Any]) -> np.ndarray | None:
    """The rows of images that are all rows of pixels and all right; None where one is not."""
    if set(map(type, instances)) != {list} or set(map(len, instances)) != {image.height}:
        return None
    lines = list(chain.from_iterable(instances))
    if set(map(type, lines)) != {list} or set(map(len, lines)) != {image.width}:
        return None
    flat = list(chain.from_iterable(lines))
    if not set(map(type, flat)) <= NUMBERS:
        return None
    values = np.array(flat, dtype=np.float64)  # from a list twice as fast as from an iterator
    return image_array(image, values.reshape(len(instances), -1))


def _one(image: ImageFeature, instance: Any) -> np.ndarray:
    if isinstance(instance, dict) and list(instance) == [image.name]:
        instance = instance[image.name]
    if isinstance(instance, dict) and list(instance) == ["b64"]:
        instance = instance["b64"]
    if isinstance(instance, str):
        return pixels(from_base64(instance), image)
    if not isinstance(instance, list):
        raise NotAPicture(f"{_shape(image)}, or a PNG or JPEG in base64", kind(instance))
    lines = instance
    if len(lines) == image.height * image.width and type(lines[0]) in NUMBERS:  # flat
        lines = [instance[start : start + image.width] for start in range(0, len(instance), image.width)]
    if len(lines) != image.height:
        raise NotAPicture(_shape(image), f"{len(lines)} rows")
    for line in lines:
        if not isinstance(line, list):
            raise NotAPicture(_shape(image), f"{kind(line)} for a row")
        if len(line) != image.width:
            raise NotAPicture(_shape(image), f"a row of {len(line)}")
        for value in line:
            if type(value) not in NUMBERS:
                raise NotAPicture(_shape(image), f"{kind(value)} for a number")
    values = np.array(lines, dtype=np.float64).reshape(-1)
    check_range(image, values)
    return values.astype(np.float32)


def _shape(image: ImageFeature) -> str:
    return f"{image.height} rows of {image.width} numbers from 0 to {image.maximum:g}"
