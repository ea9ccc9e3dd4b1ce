"""Pictures as files: the body is one, or a form has one or several."""

import io
from typing import Any

import numpy as np
from python_multipart import parse_form
from python_multipart.exceptions import FormParserError

from serving.errors import Problem, Wrong, refuse
from serving.parsing.pictures import NotAPicture, pixels
from serving.validation.rows import Door, Rows


def picture_rows(door: Door, body: bytes, content_type: str) -> Rows:
    """The encoded rows of uploaded pictures, PNG or JPEG.

    Raises:
        Problem: 400, with what is wrong with each.
    """
    image = door.schema.image
    assert image is not None, "only a model of images is sent pictures"
    files = _files(body, content_type) if content_type.startswith("multipart/") else [body]
    door.check_count(len(files))
    rows, errors = [], []
    for number, content in enumerate(files):
        try:
            rows.append(pixels(content, image))
        except NotAPicture as error:
            errors.append(Wrong(f"file {number + 1}", error.expected, error.received))
    if errors:
        raise refuse(*errors)
    return Rows(np.stack(rows), [])


def _files(body: bytes, content_type: str) -> list[bytes]:
    """What a form's file fields hold."""
    files: list[bytes] = []

    def on_file(file: Any) -> None:
        file.file_object.seek(0)
        files.append(file.file_object.read())
        file.close()

    try:
        parse_form({"Content-Type": content_type.encode()}, io.BytesIO(body), None, on_file)
    except (FormParserError, ValueError):
        raise Problem(400, "the form cannot be read: expected multipart/form-data with a file field") from None
    if not files:
        raise Problem(400, "the form holds no file: expected a file field with a PNG or JPEG picture")
    return files
