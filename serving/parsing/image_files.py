"""PNG and JPEG files, decoded into the grey pixels that a model reads."""

import base64
import binascii
import io
import threading
import warnings
from typing import TYPE_CHECKING

import numpy as np

from contracts.schema import ImageFeature

if TYPE_CHECKING:
    from PIL import Image
    from PIL.ImageFile import ImageFile

START_OF_SCAN = b"\xff\xda"
MAX_SIDE = 4096  # pixels; larger images are refused before decoding
MAX_SCANS = 100  # scans of a JPEG; cameras and programs write up to 12, and every scan goes through all pixels
MIN_COST = 4096  # pixels that take as long as opening an image

_thread = threading.local()


class PixelsExceeded(Exception):
    """The images of a request have more pixels than `limit_pixels` allows."""


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
        PixelsExceeded: see `limit_pixels`.
    """
    from PIL import Image  # the import takes 60 ms, which a service of rows does not need

    size = (image.width, image.height)
    too_large = ImageError(f"at most {MAX_SIDE} by {MAX_SIDE} pixels", "a larger picture")
    try:
        with warnings.catch_warnings(), Image.open(io.BytesIO(content), formats=("PNG", "JPEG")) as picture:
            warnings.simplefilter("ignore")
            if max(picture.size) > MAX_SIDE:
                raise too_large
            n_scans = 1 if picture.format == "PNG" else content.count(START_OF_SCAN)  # a JPEG may call itself MPO
            if n_scans > MAX_SCANS:
                raise ImageError(f"a JPEG of at most {MAX_SCANS} scans", "more scans")
            _count_pixels(max(MIN_COST, picture.width * picture.height * n_scans))
            grey = _grey(picture)
    except (ImageError, PixelsExceeded):
        raise
    except Image.DecompressionBombError:
        raise too_large from None
    except Exception:  # Pillow's decoders raise many types; none says more than this message
        raise ImageError("a whole PNG or JPEG picture", "something else, or a part of one") from None
    if grey.size != size:
        grey = grey.resize(size, Image.Resampling.BOX if grey.width > image.width else Image.Resampling.BILINEAR)
    return np.asarray(grey, dtype=np.float32).reshape(-1) * np.float32(image.maximum / 255)


def limit_pixels(maximum: int | None) -> None:
    """Let this thread decode images of that many pixels in all from now on, those of a JPEG times its scans.

    Args:
        maximum: None for no limit.
    """
    _thread.pixels = maximum


def _count_pixels(n_pixels: int) -> None:
    left = getattr(_thread, "pixels", None)
    if left is not None:  # no limit outside of the service
        if n_pixels > left:
            raise PixelsExceeded
        _thread.pixels = left - n_pixels


def _grey(picture: "ImageFile") -> "Image.Image":
    """8 bits of grey, with black for transparent pixels. Of 16 bits the upper 8 count, as when Pillow reads 16-bit
    colours.
    """
    from PIL import Image

    has_16_bits = "16" in str(picture.tile[0].args)
    picture.load()
    transparent = picture.info.get("transparency")
    if picture.mode.startswith("I"):  # Pillow would clip 16 bits of grey
        values = np.asarray(picture)
        return Image.fromarray(np.where(values == transparent, 0, values >> 8).astype(np.uint8))
    if has_16_bits and isinstance(transparent, tuple):
        picture.info["transparency"] = tuple(value >> 8 for value in transparent)
    if "A" in picture.mode or transparent is not None:
        black = Image.new("RGBA", picture.size, "black")
        return Image.alpha_composite(black, picture.convert("RGBA")).convert("L")
    return picture.convert("L")


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
