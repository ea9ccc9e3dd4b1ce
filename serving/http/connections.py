"""Limits on the head of a request, which uvicorn has none for: a slow or endless head would keep its connection."""

from asyncio import TimerHandle, Transport

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from serving.http.body import BODY_RECEIVED

MAX_HEAD_BYTES = 64 * 1024


class RequestLimitsProtocol(HttpToolsProtocol):
    """uvicorn's protocol, which closes a connection whose request head takes too long or is too large."""

    timeout = 30.0  # seconds from the connection, or from a request's first byte, to the end of the head
    _timer: TimerHandle | None = None
    _in_head = True
    _head_bytes = 0

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._start_timer()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._in_head:  # most heads arrive whole and start no timer here
            self._head_bytes += len(data)
            self._start_timer()
            if self._head_bytes > MAX_HEAD_BYTES:
                self.transport.close()

    def on_message_begin(self) -> None:
        self._in_head = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._stop_timer()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self.scope["extensions"] = {BODY_RECEIVED: {}}
        super().on_message_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def _start_timer(self) -> None:
        if self._timer is None:
            self._timer = self.loop.call_later(self.timeout, self.transport.close)

    def _stop_timer(self) -> None:
        self._head_bytes = 0
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
