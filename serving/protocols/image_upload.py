"""Uploaded image files: the body is one, or a multipart form has one or several."""

from typing import Any

import numpy as np
from python_multipart import FormParser
from python_multipart.exceptions import FormParserError

from serving.errors import FieldError, Problem, invalid_request
from serving.parsing.image_files import ImageError, decode_image
from serving.parsing.media_type import MediaType
from serving.validation.validator import EncodedRows, InputValidator


def uploaded_rows(validator: InputValidator, body: bytes, media_type: MediaType) -> EncodedRows:
    """The encoded rows of PNG or JPEG files.

    Raises:
        Problem: 400 with the error of each invalid file.
    """
    image = validator.schema.image
    assert image is not None, "only a model of images has this content type"
    files = _form_files(body, media_type.boundary) if media_type.name == "multipart/form-data" else [body]
    validator.check_row_count(len(files))
    rows, errors = [], []
    for number, content in enumerate(files):
        try:
            rows.append(decode_image(content, image))
        except ImageError as error:
            errors.append(FieldError(f"file {number + 1}", error.expected, error.received))
    if errors:
        raise invalid_request(*errors)
    return EncodedRows(np.stack(rows))


def _form_files(body: bytes, boundary: bytes | None) -> list[bytes]:
    """The contents of a form's file fields."""
    files: list[bytes] = []
    ends: list[bool] = []

    def on_file(file: Any) -> None:
        file.file_object.seek(0)
        files.append(file.file_object.read())
        file.close()

    in_memory = {"MAX_MEMORY_FILE_SIZE": len(body)}
    try:
        parser = FormParser(
            "multipart/form-data", None, on_file, lambda: ends.append(True), boundary=boundary, config=in_memory
        )
        parser.write(body)
    except (FormParserError, ValueError):
        raise Problem(400, "the form cannot be read: expected multipart/form-data with a file field") from None
    if not ends:
        raise Problem(400, "the form is cut off: expected its boundary and two hyphens at the end")
    if not files:
        raise Problem(400, "the form has no file: expected a file field with a PNG or JPEG picture")
    return files
