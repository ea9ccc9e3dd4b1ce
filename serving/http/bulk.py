"""A process for large bodies and pictures. They would keep this process from answering others, because a JSON parser
holds the interpreter while it parses.

It starts with the first such request, ends itself at a request's deadline, and starts again with the next one.
"""

import contextlib
import os
import pickle
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from serving.errors import FieldError, Problem
from serving.http.calls import Call
from serving.http.messages import receive, send
from serving.model import ModelResponse, ServedModel

PACKAGES = Path(__file__).parents[2]  # the folder of `serving` and `contracts`


class Start(NamedTuple):
    """What the process needs to load the model."""

    bundle: Path
    version: str
    expected: list[float]
    max_rows: int
    timeout: float
    max_body_bytes: int


def too_late() -> Problem:
    """A new exception each time, because a kept one would keep the body with its traceback."""
    return Problem(504, "no answer within the time limit", headers={"Retry-After": "1"})


class BulkProcess:
    """Answers one request at a time, in the order of arrival. This process counts the answers."""

    def __init__(self, model: ServedModel, max_body_bytes: int) -> None:
        self._model = model
        self._start = Start(model.bundle, model.version, model.expected, model.validator.max_rows, model.timeout,
                            max_body_bytes)  # fmt: skip
        self.thread = ThreadPoolExecutor(1)  # the thread that waits for the process
        self._process: subprocess.Popen | None = None
        self._connection: socket.socket | None = None
        self._ended = False

    def answer(self, call: Call, body: bytes, deadline: float) -> ModelResponse:
        """The answer of the process. Call it in `thread`.

        Args:
            deadline: by `time.monotonic`.

        Raises:
            Problem: the request is refused; 504 past the deadline, 503 if the process ended for another reason.
        """
        try:
            connection = self._connect()
            send(connection, pickle.dumps((call, deadline)), body)
            head, content = receive(connection)
        except (EOFError, OSError):
            raise self._failure() from None
        return self._read(orjson.loads(head), content)

    def end(self) -> None:
        """End the process, and refuse what it has not answered."""
        self._ended = True
        if self._process is not None:
            self._process.kill()
        self.thread.shutdown(wait=False, cancel_futures=True)

    def _connect(self) -> socket.socket:
        if self._ended:
            raise EOFError
        if self._connection is None:
            self._connection, theirs = socket.socketpair()
            with theirs:
                places = (str(PACKAGES), *filter(None, [os.environ.get("PYTHONPATH")]))
                environment = {**os.environ, "PYTHONPATH": os.pathsep.join(places)}
                environment.pop("PROMETHEUS_MULTIPROC_DIR", None)  # counted here
                command = [sys.executable, "-m", "serving.http.bulk_worker", str(theirs.fileno())]
                self._process = subprocess.Popen(
                    command, env=environment, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL
                )
            send(self._connection, pickle.dumps(self._start))
        return self._connection

    def _failure(self) -> Problem:
        """The reason why there is no answer; the next request starts the process again."""
        status = None
        if self._connection is not None:
            self._connection.close()
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            status = self._process.wait()
        self._process = self._connection = None
        if status == -signal.SIGALRM:
            return too_late()
        detail = "the process for large requests ended before it answered"
        return Problem(503, detail, headers={"Retry-After": "1"})

    def _read(self, head: dict[str, Any], content: bytes) -> ModelResponse:
        for n_rows, classes, kinds in head["counts"]:
            self._model.metrics.count_predictions(n_rows, classes, kinds)
        if "status" in head:
            errors = [FieldError(*error) for error in head["errors"]]
            raise Problem(head["status"], head["detail"], errors, head["headers"])
        return ModelResponse(content, head["media_type"], head["headers"])
