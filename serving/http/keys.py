"""API keys: which routes need one, and whether a request has one."""

import hmac
from collections.abc import Mapping, Sequence

from serving.errors import CLOSE_CONNECTION, Problem

PROBES = ("/livez", "/readyz")  # these need no key, and are answered under any load
PAGE = ("/", "/page.css", "/page.js")  # the form without data, which asks for the key


def check_key(path: str, headers: Mapping[bytes, bytes], keys: Sequence[bytes]) -> Problem | None:
    """401 for a request without a key, 403 for a wrong key; None if the request may go on."""
    if not keys or path in PAGE or path in PROBES:
        return None
    key = headers.get(b"x-api-key", b"")
    scheme, _, token = headers.get(b"authorization", b"").partition(b" ")
    if scheme.lower() == b"bearer":
        key = token.strip()
    if not key:
        detail = "expected an API key as Authorization: Bearer … or X-API-Key, received none"
        return Problem(401, detail, headers={"WWW-Authenticate": "Bearer"} | CLOSE_CONNECTION)
    # Compare with every key, in constant time, so that the time reveals nothing about them.
    if not sum(hmac.compare_digest(key, known) for known in keys):
        return Problem(403, "the API key is not one of this service's", headers=CLOSE_CONNECTION)
    return None
