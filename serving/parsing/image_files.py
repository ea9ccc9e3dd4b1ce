"""PNG and JPEG files, decoded into the grey pixels that a model reads."""

import base64
import binascii
import io
import math
import re
import threading
import time
import warnings

import numpy as np

from contracts.schema import ImageFeature

LONG_BASE64 = re.compile(rb'"[\w+/=\\:;,-]{1000}')  # an image that is slow to decode has more base64 than this
MAX_SIDE = 4096  # pixels; larger images are refused before decoding

_thread = threading.local()


class DeadlineExceeded(Exception):
    """The request's deadline has passed, so nobody waits for this image."""


class ImageError(Exception):
    """An image that cannot be used: what was expected, and what was received."""

    def __init__(self, expected: str, received: str) -> None:
        super().__init__(expected, received)
        self.expected, self.received = expected, received


def decode_image(content: bytes, image: ImageFeature) -> np.ndarray:
    """Decode a file, make it grey, and resize it to the model's size; transparent pixels become black.

    Returns:
        float32 array of shape (height * width,), from 0 to `image.maximum`.

    Raises:
        ImageError: the file is truncated, too large, or neither PNG nor JPEG.
        DeadlineExceeded: see `set_decoding_deadline`.
    """
    if time.monotonic() > getattr(_thread, "deadline", math.inf):
        raise DeadlineExceeded
    from PIL import Image  # 60 ms, which a service of rows need not pay

    size = (image.width, image.height)
    try:
        with warnings.catch_warnings(), Image.open(io.BytesIO(content), formats=("PNG", "JPEG")) as picture:
            warnings.simplefilter("ignore")
            if max(picture.size) > MAX_SIDE:
                raise ImageError(f"at most {MAX_SIDE} by {MAX_SIDE} pixels", "a larger picture")
            picture.load()
            if picture.mode.startswith("I"):  # 16 bits, which Pillow would clip instead of scale
                grey = Image.fromarray((np.asarray(picture) // 257).astype(np.uint8))
            elif "A" in picture.mode or "transparency" in picture.info:
                black = Image.new("RGBA", picture.size, "black")
                grey = Image.alpha_composite(black, picture.convert("RGBA")).convert("L")
            else:
                grey = picture.convert("L")
    except ImageError:
        raise
    except Exception:  # Pillow's decoders raise many types; none says more than this message
        raise ImageError("a whole PNG or JPEG picture", "something else, or a part of one") from None
    if grey.size != size:
        grey = grey.resize(size, Image.Resampling.BOX if grey.width > image.width else Image.Resampling.BILINEAR)
    return np.asarray(grey, dtype=np.float32).reshape(-1) * np.float32(image.maximum / 255)


def set_decoding_deadline(seconds: float) -> None:
    """Stop this thread from decoding images after that time; a request of thousands would outlive its response."""
    _thread.deadline = time.monotonic() + seconds


def may_contain_image_file(body: bytes) -> bool:
    """Whether a body may hold an image file: 2 KB of PNG can take a tenth of a second to decode."""
    binary = not body.isascii() and (b"\x89PNG" in body or b"\xff\xd8\xff" in body)
    return binary or LONG_BASE64.search(body) is not None


def decode_base64(text: str) -> bytes:
    """The bytes of base64 text, with or without a `data:` prefix.

    Raises:
        ImageError: the text is not base64.
    """
    if text.startswith("data:"):
        text = text.partition(",")[2]
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ImageError("a PNG or JPEG picture in base64", "a text that is not base64") from None
