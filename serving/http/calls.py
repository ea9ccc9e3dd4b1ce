"""From a request that has arrived to its answer, the same in the event loop, in a thread and in the bulk process."""

from typing import NamedTuple

from serving.http.body import decompress
from serving.model import ModelResponse, ServedModel
from serving.parsing.image_files import limit_pixels
from serving.parsing.media_type import parse_media_type
from serving.protocols.routes import PredictRoute


class Call(NamedTuple):
    """What a handler needs of the head of a request.

    Args:
        window_bits: zlib's parameter, None for a body that is not compressed.
        query: empty unless the route takes one.
        json_length: the header `Inference-Header-Content-Length`, None unless the route takes it.
    """

    path: str
    content_type: bytes
    window_bits: int | None
    query: bytes
    json_length: str | None


def answer(
    model: ServedModel, route: PredictRoute, call: Call, body: bytes, max_body_bytes: int, max_bytes: int,
    max_pixels: int,
) -> ModelResponse:  # fmt: skip
    """The answer to a request.

    Args:
        max_body_bytes: of a body by the service's settings, decompressed.
        max_bytes: of a body that this place accepts, decompressed.
        max_pixels: of all pictures that this place accepts.

    Raises:
        Problem: the request is refused.
        BytesExceeded, PixelsExceeded: the request is too large for this place.
    """
    content = body
    if call.window_bits is not None:
        content = decompress(body, call.window_bits, max_bytes, max_body_bytes)
    media_type = parse_media_type(call.content_type)
    limit_pixels(max_pixels)
    try:
        if route.takes_query:
            return route.handler(model, content, media_type, call.query)
        if route.takes_json_length:
            return route.handler(model, content, media_type, call.json_length)
        return route.handler(model, content, media_type)
    finally:
        limit_pixels(None)
