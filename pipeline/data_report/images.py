"""Examples of a dataset of images, as addresses that hold the picture itself."""

import base64
import io
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image

from contracts.schema import Schema
from pipeline.tables import IMAGE, TARGET, column_to_images

MOST = 48


def examples(schema: Schema, train: pa.Table, seed: int) -> list[dict[str, Any]]:
    """Some train images with their labels, as many of each class as there is room for."""
    assert schema.image is not None
    labels = [_label(value) for value in train[TARGET].to_pylist()]
    order = np.random.default_rng(seed).permutation(len(labels))
    of_label: dict[str, list[int]] = {}
    for row in order.tolist():
        of_label.setdefault(labels[row], []).append(row)
    each = max(1, MOST // len(of_label))
    rows = [row for label in sorted(of_label)[:MOST] for row in of_label[label][:each]]
    pixels = column_to_images(train[IMAGE].take(rows), schema.image.height, schema.image.width)
    scaled = np.clip(pixels * (255 / schema.image.maximum), 0, 255).astype(np.uint8)
    return [{"label": labels[row], "address": _png(image)} for row, image in zip(rows, scaled, strict=True)]


def _label(value: Any) -> str:
    if not isinstance(value, dict):
        return str(value)
    return (
        ", ".join(name if number is True else f"{name} {number:.3g}" for name, number in value.items() if number)
        or "none"
    )


def _png(image: np.ndarray) -> str:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
