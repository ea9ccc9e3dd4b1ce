"""What happens to every request before and after its route: identity, keys, load, headers, counting.

One ASGI layer instead of six: each of Starlette's middlewares costs as much as the checks themselves.
"""

import hmac
import itertools
import re
import secrets
import sys
import time
import traceback
from collections.abc import MutableMapping

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.errors import CLOSE, Problem, problem_response
from serving.http.log import Log
from serving.metrics import Meters
from serving.settings import Settings

ALWAYS = ("/livez", "/readyz")  # open without a key, answered under any load
PAGE = ("/", "/page.css", "/page.js")  # holds nothing but the form, which asks for the key
SAFE_ID = re.compile(rb"[\w.:-]{1,64}\Z", re.ASCII)
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
HEADERS = [(b"x-content-type-options", b"nosniff"), (b"cache-control", b"no-store")]
# For what a browser shows; uvicorn checks every header with two regular expressions, so predictions do without.
SHOWN_HEADERS = [
    *HEADERS,
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", POLICY.encode()),
]


class Guard:
    """Wraps the routes.

    Args:
        routes: the known paths; all others are counted as one.
    """

    def __init__(self, app: ASGIApp, settings: Settings, meters: Meters, routes: frozenset[str]) -> None:
        self._app, self._settings, self._meters, self._routes = app, settings, meters, routes
        self._log = Log()
        self._prefix, self._numbers = secrets.token_hex(4).encode(), itertools.count(1)
        self._active = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            if scope["type"] == "lifespan":
                self._log.flush()
            return
        started = time.perf_counter()
        headers = dict(scope["headers"])
        identifier = headers.get(b"x-request-id", b"")
        if not SAFE_ID.match(identifier):
            identifier = b"%s-%x" % (self._prefix, next(self._numbers))
        status = 0

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                extra = HEADERS if scope["method"] == "POST" else SHOWN_HEADERS
                message["headers"] = [*message["headers"], *extra, (b"x-request-id", identifier)]
            await send(message)

        path = scope["path"]
        self._active += 1
        try:
            if problem := self._refusal(path, headers):
                await problem_response(problem, path)(scope, receive, answer)
            else:
                await self._app(scope, receive, answer)
        except Exception:
            print(traceback.format_exc(), file=sys.stderr, flush=True)
            if status == 0:
                await problem_response(Problem(500, "the service failed; its log says more"), path)(
                    scope, receive, answer
                )
        finally:
            self._active -= 1
            seconds = time.perf_counter() - started
            status = status or 499  # the client left before there was an answer
            self._meters.answered(path if path in self._routes else "other", status, seconds)
            self._log.write(
                request=identifier.decode(),
                client=scope["client"][0] if scope.get("client") else None,
                method=scope["method"],
                path=path[:200].encode("utf-8", "replace").decode(),
                status=status,
                ms=round(seconds * 1000, 3),
            )

    def _refusal(self, path: str, headers: MutableMapping[bytes, bytes]) -> Problem | None:
        """Why a request is not even looked at."""
        if path in ALWAYS:
            return None
        if self._active > self._settings.concurrency:
            return Problem(
                429, f"more than {self._settings.concurrency} requests at once", headers={"Retry-After": "1"} | CLOSE
            )
        if not self._settings.keys or path in PAGE:
            return None
        key = headers.get(b"x-api-key", b"")
        scheme, _, token = headers.get(b"authorization", b"").partition(b" ")
        if scheme.lower() == b"bearer":
            key = token.strip()
        if not key:
            expected = "expected an API key as Authorization: Bearer … or X-API-Key, received none"
            return Problem(401, expected, headers={"WWW-Authenticate": "Bearer"} | CLOSE)
        # Every key is compared, in constant time, so that the time tells nothing about them.
        if not sum(hmac.compare_digest(key, known) for known in self._settings.keys):
            return Problem(403, "the API key is not one of this service's", headers=CLOSE)
        return None
