"""Media types as RFC 9110 writes them: in any case, with parameters in any order."""

from functools import lru_cache
from typing import NamedTuple

from python_multipart.multipart import parse_options_header


class MediaType(NamedTuple):
    """`type/subtype` and the charset in lower case, and the boundary of a form as it was sent."""

    name: str
    charset: str = "utf-8"
    boundary: bytes | None = None


@lru_cache(64)
def parse_media_type(header: bytes) -> MediaType:
    """The media type in a header `Content-Type`; an invalid one has a name that no route accepts."""
    name, parameters = parse_options_header(header)
    charset = parameters.get(b"charset", b"utf-8").decode("latin-1").lower()
    return MediaType(name.decode("latin-1"), charset, parameters.get(b"boundary"))
