"""Encoded pictures, PNG or JPEG, as the grey pixels that a model reads."""

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

TEXT = re.compile(rb'"[\w+/=\\:;,-]{1000}')  # base64 of a picture that takes long to decode is longer
SIDE = 4096  # pixels; a larger picture is refused before it is decoded


_thread = threading.local()


class TooLate(Exception):
    """Nobody waits for this picture any more."""


class NotAPicture(Exception):
    """What the picture should have been, and what it is instead."""

    def __init__(self, expected: str, received: str) -> None:
        super().__init__(expected, received)
        self.expected, self.received = expected, received


def pixels(content: bytes, image: ImageFeature) -> np.ndarray:
    """Decode a picture, make it grey, and fit it to the model's size; what is transparent becomes black.

    Returns:
        float32 array of shape (height * width,), from 0 to `image.maximum`.

    Raises:
        NotAPicture: truncated, of another format, or too large.
        TooLate: see `give_up_after`.
    """
    if time.monotonic() > getattr(_thread, "until", math.inf):
        raise TooLate
    from PIL import Image  # 60 ms that a service of rows never pays

    size = (image.width, image.height)
    try:
        with warnings.catch_warnings(), Image.open(io.BytesIO(content), formats=("PNG", "JPEG")) as picture:
            warnings.simplefilter("ignore")
            if max(picture.size) > SIDE:
                raise NotAPicture(f"at most {SIDE} by {SIDE} pixels", "a larger picture")
            picture.load()
            if picture.mode.startswith("I"):  # 16 bits, which Pillow would clip instead of scale
                grey = Image.fromarray((np.asarray(picture) // 257).astype(np.uint8))
            elif "A" in picture.mode or "transparency" in picture.info:
                black = Image.new("RGBA", picture.size, "black")
                grey = Image.alpha_composite(black, picture.convert("RGBA")).convert("L")
            else:
                grey = picture.convert("L")
    except NotAPicture:
        raise
    except Exception:  # Pillow's decoders raise many kinds, none of them more telling than this
        raise NotAPicture("a whole PNG or JPEG picture", "something else, or a part of one") from None
    if grey.size != size:
        grey = grey.resize(size, Image.Resampling.BOX if grey.width > image.width else Image.Resampling.BILINEAR)
    return np.asarray(grey, dtype=np.float32).reshape(-1) * np.float32(image.maximum / 255)


def give_up_after(seconds: float) -> None:
    """This thread decodes no picture later than that, or a request of thousands would keep it long after its answer."""
    _thread.until = time.monotonic() + seconds


def may_hold_picture(body: bytes) -> bool:
    """Whether something in a request has to be decoded, which takes up to a tenth of a second for 2 KB."""
    encoded = not body.isascii() and (b"\x89PNG" in body or b"\xff\xd8\xff" in body)
    return encoded or TEXT.search(body) is not None


def from_base64(text: str) -> bytes:
    """The bytes of base64 text, with or without a data address before it.

    Raises:
        NotAPicture: where it is no base64.
    """
    if text.startswith("data:"):
        text = text.partition(",")[2]
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise NotAPicture("a PNG or JPEG picture in base64", "a text that is not base64") from None
