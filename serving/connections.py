"""Connections on which nothing comes: uvicorn waits for the head of a request for ever, this does not."""

from asyncio import TimerHandle, Transport

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

PATIENCE = 20.0  # seconds from a connection, or a request's first byte, to the end of its head
LONGEST = 64 * 1024  # bytes of a head


class Impatient(HttpToolsProtocol):
    """uvicorn's protocol, with a limit on the time and the size of a request's head."""

    _deadline: TimerHandle | None = None
    _head = 0

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        if self.cycle is None or self.cycle.response_complete:  # between requests: this is of a head
            self._wait()
            self._head += len(data)
        super().data_received(data)
        if self._deadline is not None and self._head > LONGEST:
            self.transport.close()

    def on_headers_complete(self) -> None:
        self._stop()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop()
        super().connection_lost(exc)

    def _wait(self) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(PATIENCE, self.transport.close)

    def _stop(self) -> None:
        self._head = 0
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
