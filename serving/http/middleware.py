"""What happens to every request before and after its route: id, load limit, key, headers, metrics, log.

One ASGI layer for all six, because they share the headers, the clock and the wrapped `send`.
"""

import asyncio
import itertools
import re
import secrets
import sys
import time
import traceback

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.errors import CLOSE_CONNECTION, FAILURE, Problem, problem_response
from serving.http.access_log import AccessLog
from serving.http.keys import PROBES, check_key
from serving.metrics import RequestMetrics
from serving.settings import Settings

VALID_ID = re.compile(rb"[\w.:-]{1,64}\Z", re.ASCII)
CONTENT_SECURITY_POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    b"base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
HEADERS = [(b"x-content-type-options", b"nosniff"), (b"cache-control", b"no-store")]
# Only for pages in a browser: uvicorn checks every header with two regular expressions, so predictions omit these.
PAGE_HEADERS = [
    *HEADERS,
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", CONTENT_SECURITY_POLICY),
]


class RequestMiddleware:
    """Wraps the application.

    Args:
        routes: the known paths; requests for all other paths are counted together.
    """

    def __init__(self, app: ASGIApp, settings: Settings, metrics: RequestMetrics, routes: frozenset[str]) -> None:
        self._app, self._settings, self._metrics, self._routes = app, settings, metrics, routes
        self._log = AccessLog()
        self._id_prefix, self._id_numbers = secrets.token_hex(4).encode(), itertools.count(1)
        self._active = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            if scope["type"] == "lifespan":
                self._log.flush()
            return
        started = time.perf_counter()
        headers = dict(scope["headers"])
        request_id = headers.get(b"x-request-id", b"")
        if not VALID_ID.match(request_id):
            request_id = b"%s-%x" % (self._id_prefix, next(self._id_numbers))
        status = 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                self._active -= not status  # a client that reads slowly does not count
                status = message["status"]
                extra = HEADERS if scope["method"] == "POST" else PAGE_HEADERS
                message["headers"] = [*message["headers"], *extra, (b"x-request-id", request_id)]
            await send(message)

        path = scope["path"]
        self._active += 1
        try:
            if problem := self._check_load(path) or check_key(path, headers, self._settings.keys):
                await problem_response(problem, path)(scope, receive, send_with_headers)
            else:
                await self._app(scope, receive, send_with_headers)
        except Exception:
            print(traceback.format_exc(), file=sys.stderr, flush=True)
            if status == 0:
                await problem_response(FAILURE, path)(scope, receive, send_with_headers)
        except asyncio.CancelledError:  # SERVING_DRAIN_SECONDS are over
            pass
        finally:
            self._active -= not status
            self._record(scope, request_id, status or 499, time.perf_counter() - started)

    def _check_load(self, path: str) -> Problem | None:
        """429 if more requests are in progress than the limit."""
        maximum = self._settings.max_concurrency
        if path in PROBES or self._active <= maximum:
            return None
        return Problem(429, f"more than {maximum} requests at once", headers={"Retry-After": "1"} | CLOSE_CONNECTION)

    def _record(self, scope: Scope, request_id: bytes, status: int, seconds: float) -> None:
        """Count and log a request; status 499 if the client left before there was a response."""
        path = scope["path"]
        self._metrics.count_request(path if path in self._routes else "other", status, seconds)
        self._log.write(
            request=request_id.decode(),
            client=scope["client"][0] if scope.get("client") else None,
            method=scope["method"],
            path=path[:100].encode("utf-8", "replace").decode(),
            status=status,
            ms=round(seconds * 1000, 3),
        )
