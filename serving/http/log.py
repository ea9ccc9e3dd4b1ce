"""A line of JSON a request on standard output: who asked what, how it went, never what was sent."""

import asyncio
import sys
import time
from typing import Any

import orjson

DELAY = 0.2  # seconds that a line may wait for others, so that a busy service writes once for many


class Log:
    """Collects lines while requests are answered and writes them together."""

    def __init__(self) -> None:
        self._lines: list[bytes] = []

    def write(self, **fields: Any) -> None:
        """Add a line; must be called in the event loop."""
        if not self._lines:
            asyncio.get_running_loop().call_later(DELAY, self.flush)
        self._lines.append(orjson.dumps({"time": round(time.time(), 3), **fields}))

    def flush(self) -> None:
        lines, self._lines = self._lines, []
        if not lines:
            return
        try:
            sys.stdout.buffer.write(b"\n".join(lines) + b"\n")
            sys.stdout.flush()
        except OSError:  # whoever read the log is gone; requests matter more
            pass
