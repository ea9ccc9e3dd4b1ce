"""Connections on which nothing comes: uvicorn waits for the head of a request for ever, this does not."""

import logging
from asyncio import TimerHandle, Transport

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

LONGEST = 64 * 1024  # bytes of a head


class Impatient(HttpToolsProtocol):
    """uvicorn's protocol, with a limit on the time and the size of a request's head."""

    patience = 30.0  # seconds from a connection, or a request's first byte, to the end of its head
    _deadline: TimerHandle | None = None
    _in_head = True
    _head = 0

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
