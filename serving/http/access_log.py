"""One line of JSON per request on standard output: client, route, status and time, never the content."""

import asyncio
import sys
import time
from typing import Any

import orjson

FLUSH_SECONDS = 0.2  # a line waits this long for others, so that a busy service writes many lines at once


class AccessLog:
    """Collects lines while requests are answered and writes them together."""

    def __init__(self) -> None:
        self._lines: list[bytes] = []

    def write(self, **fields: Any) -> None:
        """Add a line. Call it in the event loop."""
        if not self._lines:
            asyncio.get_running_loop().call_later(FLUSH_SECONDS, self.flush)
        self._lines.append(orjson.dumps({"time": round(time.time(), 3), **fields}))

    def flush(self) -> None:
        lines, self._lines = self._lines, []
        if not lines:
            return
        try:
            sys.stdout.buffer.write(b"\n".join(lines) + b"\n")
            sys.stdout.flush()
        except OSError:  # nobody reads the log any more; requests are still answered
            pass
