"""The images of a request: nested numbers, flat numbers, or a PNG or JPEG file in base64."""

from itertools import chain
from typing import Any

import numpy as np

from contracts.schema import ImageFeature
from serving.errors import FieldError, invalid_request, json_type
from serving.parsing.image_files import ImageError, decode_base64, decode_image
from serving.validation.columns import NUMBERS


def image_rows(image: ImageFeature, instances: list[Any], path: str) -> np.ndarray:
    """Encoded rows, float32 of shape (n_instances, height * width).

    Raises:
        Problem: 400 with the error of each invalid image.
    """
    errors: list[FieldError] = []
    rows = np.zeros((len(instances), image.height * image.width), dtype=np.float32)
    for number, instance in enumerate(instances):
        try:
            rows[number] = _image_row(image, instance)
        except ImageError as error:
            errors.append(FieldError(f"{path}[{number}]", error.expected, error.received))
    if errors:
        raise invalid_request(*errors)
    return rows


def image_array(image: ImageFeature, values: np.ndarray) -> np.ndarray | None:
    """Encoded rows of images in one array of shape (n, height, width) or (n, height * width), n > 0.

    None if a value is outside the range of a pixel.
    """
    if not (values.min() >= 0 and values.max() <= image.maximum):
        return None
    return values.astype(np.float32).reshape(len(values), -1)


def check_pixels(image: ImageFeature, values: np.ndarray) -> None:
    """Raises ImageError for a number outside the range of a pixel, and for NaN."""
    if values.size and not (values.min() >= 0 and values.max() <= image.maximum):
        raise ImageError(_expected(image), "a number outside of that")


def _image_row(image: ImageFeature, instance: Any) -> np.ndarray:
    if isinstance(instance, dict) and list(instance) == [image.name]:
        instance = instance[image.name]
    if isinstance(instance, dict) and list(instance) == ["b64"]:
        instance = instance["b64"]
    if isinstance(instance, str):
        return decode_image(decode_base64(instance), image)
    if not isinstance(instance, list):
        raise ImageError(f"{_expected(image)}, or a PNG or JPEG in base64", json_type(instance))
    lines = instance
    if len(lines) == image.height * image.width and type(lines[0]) in NUMBERS:  # flat
        lines = [instance[start : start + image.width] for start in range(0, len(instance), image.width)]
    if len(lines) != image.height:
        raise ImageError(_expected(image), f"{len(lines)} rows")
    for line in lines:
        if not isinstance(line, list):
            raise ImageError(_expected(image), f"{json_type(line)} for a row")
        if len(line) != image.width:
            raise ImageError(_expected(image), f"a row of {len(line)}")
    flat = list(chain.from_iterable(lines))
    if not set(map(type, flat)) <= NUMBERS:
        received = next(json_type(value) for value in flat if type(value) not in NUMBERS)
        raise ImageError(_expected(image), f"{received} for a number")
    values = np.array(flat, dtype=np.float64)
    check_pixels(image, values)
    return values.astype(np.float32)


def _expected(image: ImageFeature) -> str:
    return f"{image.height} rows of {image.width} numbers from 0 to {image.maximum:g}"
