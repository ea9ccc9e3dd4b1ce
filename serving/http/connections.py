"""Limits on connections: uvicorn has none on a head, on a client that does not read, or on the number of connections.

A reverse proxy has them (`deploy/nginx.conf`), but a service on a plain port must not depend on one.
docs/decisions/0020-request-path.md says which of uvicorn's own limits were tried.
"""

import resource
import sys
from asyncio import TimerHandle, Transport
from typing import Any, cast

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from serving.http.body import BODY_RECEIVED
from serving.settings import Settings

MAX_HEAD_BYTES = 64 * 1024
OTHER_FILES = 64  # open files of a worker in addition to its connections
CONNECTIONS_PER_REQUEST = 4  # connections, idle ones too, for each request that may be in progress


class LimitedProtocol(HttpToolsProtocol):
    """uvicorn's protocol, which ends a connection that keeps the service waiting."""

    timeout = 30.0  # seconds from the connection, or from a response, to the end of the next head; and to read it
    drain_seconds = 30.0  # from SIGTERM to the end of every connection
    max_connections = 1024  # a further connection ends the one that has kept the service waiting longest
    _timer: TimerHandle | None = None
    _running: RequestResponseCycle | None = None
    _since = 0.0  # when the present wait began
    _unparsed_bytes = 0  # bytes since the last end of a head or of a chunk of a body
    _data = _upgraded = b""

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._since = self.loop.time()
        self._end_long_wait()
        if len(self.connections) > self.max_connections:
            others = cast(set[LimitedProtocol], self.connections) - {self}
            waiting = [other for other in others if other._is_waiting()]
            longest = min(waiting, key=lambda other: other._since, default=self)
            self.connections.discard(longest)
            longest._abort()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._end_response()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._unparsed_bytes += len(data)
        while data:
            self._data, self._upgraded = data, b""
            super().data_received(data)
            data = self._upgraded
        if self._unparsed_bytes > MAX_HEAD_BYTES:
            self._abort()

    def on_headers_complete(self) -> None:
        self._unparsed_bytes = 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._unparsed_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self.scope["extensions"] = {BODY_RECEIVED: {}}
        super().on_message_complete()

    def on_response_complete(self) -> None:
        self._since = self.loop.time()
        super().on_response_complete()

    def pause_writing(self) -> None:
        self._since = self.loop.time()
        super().pause_writing()

    def shutdown(self) -> None:
        super().shutdown()
        self.loop.call_later(self.drain_seconds, self._abort)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def _abort(self) -> None:
        self._end_response()
        self.transport.abort()

    def _end_response(self) -> None:
        """Let the task of the running request end without an error; uvicorn tells only the last task of a pipeline."""
        if self._running is not None:
            self._running.disconnected = True
            self._running.message_event.set()
        self.flow.resume_writing()

    def _is_waiting(self) -> bool:
        """Whether the connection waits for the next head, or for the client to read."""
        return self.flow.write_paused or self.cycle is None or self.cycle.response_complete

    def _end_long_wait(self) -> None:
        """End a connection that waits too long. One timer checks the clock again and again; a timer for each request
        would cost more.
        """
        if self._is_waiting() and self.loop.time() - self._since > self.timeout:
            self._abort()  # `close` would wait until the client has read
        else:
            self._timer = self.loop.call_later(min(1, self.timeout / 4), self._end_long_wait)

    def _should_upgrade(self) -> bool:
        """Leave a request for another protocol, such as `curl --http2` sends, to `handle_websocket_upgrade`."""
        return True

    def handle_websocket_upgrade(self) -> None:
        """Read the request again without its header `Upgrade`: llhttp takes what follows the head for the protocol."""
        method, version = self.parser.get_method(), self.parser.get_http_version().encode()
        if method == b"CONNECT":
            self.send_400_response("expected another method than CONNECT")
            return
        headers = [b"%b: %b\r\n" % header for header in self.headers if header[0] != b"upgrade"]
        head = b"%b %b HTTP/%b\r\n%b\r\n" % (method, self.url, version, b"".join(headers))
        stop = sys.exception()
        assert isinstance(stop, httptools.HttpParserUpgrade)
        self.parser = httptools.HttpRequestParser(self)
        self._upgraded = head + self._data[stop.args[0] :]


def uvicorn_options(settings: Settings) -> dict[str, Any]:
    """Arguments of `uvicorn.Config`."""
    limits = {
        "timeout": settings.timeout,
        "drain_seconds": settings.drain_seconds,
        "max_connections": CONNECTIONS_PER_REQUEST * settings.max_concurrency,
    }
    protocol = type("Protocol", (LimitedProtocol,), limits)
    # The tasks end after their connections.
    return {"http": protocol, "access_log": False, "timeout_graceful_shutdown": int(settings.drain_seconds) + 1}


def within_open_files(settings: Settings) -> Settings:
    """The settings with no more requests at once than the limit on open files leaves room for.

    Raises the soft limit as far as is needed.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = CONNECTIONS_PER_REQUEST * settings.max_concurrency + OTHER_FILES
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return settings
    files = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard))
    n_requests = max(1, (files - OTHER_FILES) // CONNECTIONS_PER_REQUEST)
    return settings._replace(max_concurrency=min(settings.max_concurrency, n_requests))
