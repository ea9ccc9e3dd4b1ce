"""How requests come in: uvicorn waits for a head for ever, and stops reading a body every 64 KiB; this does neither."""

import logging
from asyncio import TimerHandle, Transport
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

LONGEST = 64 * 1024  # bytes of a head


class Impatient(HttpToolsProtocol):
    """uvicorn's protocol, with a limit on the time and the size of a request's head, and with bodies in one piece."""

    patience = 30.0  # seconds from a connection, or a request's first byte, to the end of its head
    most = 16 * 2**20  # bytes of a body, beyond which reading stops
    _deadline: TimerHandle | None = None
    _in_head = True
    _head = 0
    _size = 0

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._body: list[bytes] = []

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        # BentoML's level drops these lines; uvicorn would write each of them before that.
        self.access_log = self.access_log and self.access_logger.isEnabledFor(logging.INFO)
        self._wait()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._in_head:  # rare: most heads come whole, and cost no timer
            self._head += len(data)
            self._wait()
            if self._head > LONGEST:
                self.transport.close()

    def on_message_begin(self) -> None:
        self._in_head = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._stop()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        if self.cycle.response_complete or self.parser.should_upgrade():
            return
        self._body.append(body)
        self._size += len(body)
        if self._size > self.most:
            self.flow.pause_reading()
            self._hand_over()

    def on_message_complete(self) -> None:
        self._hand_over()
        super().on_message_complete()

    def _hand_over(self) -> None:
        """uvicorn hands a body on piece by piece, and stops reading meanwhile; ours are of use only as a whole."""
        if self._body:
            body = b"".join(self._body)
            # What was handed over past the limit may still be there.
            self.cycle.body = self.cycle.body + body if self.cycle.body else body  # type: ignore[assignment]
            self.cycle.message_event.set()
        self._body, self._size = [], 0

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop()
        super().connection_lost(exc)

    def _wait(self) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(self.patience, self.transport.close)

    def _stop(self) -> None:
        self._head = 0
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
