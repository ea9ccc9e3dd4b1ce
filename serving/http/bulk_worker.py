"""python -m serving.http.bulk_worker FILE: the process that `serving.http.bulk` starts; FILE is its end of the pipe."""

import os
import pickle
import resource
import signal
import socket
import sys
import time
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from contracts.bundle import BundleDamaged
from serving.errors import FAILURE, MAX_LISTED, Problem
from serving.http.bulk import Start, too_late
from serving.http.calls import Call, answer
from serving.http.messages import receive, send
from serving.metrics import RequestMetrics
from serving.model import ModelResponse, ServedModel
from serving.parsing.image_files import PixelsExceeded
from serving.predictor import Predictor
from serving.protocols.routes import PredictRoute, predict_routes

MAX_PIXELS = 2**29  # pixels of a request: 32 pictures of 4096 by 4096, or one with 32 scans; they take 10 s
MAX_MEMORY = 2**30  # bytes beside the model; 16 MiB of JSON take 400 MB


class Counts(RequestMetrics):
    """Keeps the counts of an answer, for the process that answers /metrics."""

    def __init__(self) -> None:
        self.kept: list[tuple[int, list[int], dict[str, int]]] = []

    def count_predictions(self, n_rows: int, classes: list[int], warnings: Mapping[str, int]) -> None:
        self.kept.append((n_rows, classes, dict(warnings)))


def main(file: int) -> None:
    os.nice(5)  # a third of the CPU share of the process that answers others, if cores are scarce
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the service, which ends this process
    connection = socket.socket(fileno=file)
    start: Start = pickle.loads(receive(connection)[0])  # noqa: S301 - from the service that started this process
    counts = Counts()
    try:
        predictor = Predictor(start.bundle, bulk_threads=2)
    except BundleDamaged as error:
        sys.exit(f"the process for large requests cannot start: {error}")
    model = ServedModel(predictor, start.version, start.expected, start.max_rows, counts, start.timeout)
    routes = {route.path: route for route in predict_routes(model)}
    _limit_memory()
    while True:
        try:
            head, body = receive(connection)
        except EOFError:  # the service has ended
            return
        call, deadline = pickle.loads(head)  # noqa: S301 - see above
        counts.kept = []
        if (seconds := deadline - time.monotonic()) > 0:
            signal.setitimer(signal.ITIMER_REAL, seconds)  # the signal ends this process at once
            answered, content = _respond(model, routes[call.path], call, body, start.max_body_bytes)
            signal.setitimer(signal.ITIMER_REAL, 0)
        else:  # the start took all of the time; the next request finds the process ready
            answered, content = _refuse(too_late())
        send(connection, orjson.dumps({**answered, "counts": counts.kept}), content)
        del body, content


def _respond(
    model: ServedModel, route: PredictRoute, call: Call, body: bytes, max_body_bytes: int
) -> tuple[dict[str, Any], bytes]:
    """The head and the content of the answer. No error is kept: its traceback would hold the body."""
    try:
        content: ModelResponse = answer(model, route, call, body, max_body_bytes, max_body_bytes, MAX_PIXELS)
        return {"media_type": content.media_type, "headers": content.headers}, content.body
    except Problem as problem:
        return _refuse(problem)
    except PixelsExceeded:
        limit = f"at most {MAX_PIXELS} pixels, times the scans of a JPEG, in a request"
        return _refuse(Problem(413, f"expected pictures of {limit}, received more"))
    except MemoryError:
        detail = f"expected a request that takes at most {MAX_MEMORY} bytes of memory, it took more"
        return _refuse(Problem(413, detail))
    except Exception:
        print(traceback.format_exc(), file=sys.stderr, flush=True)
        return _refuse(FAILURE)


def _refuse(problem: Problem) -> tuple[dict[str, Any], bytes]:
    head = {"status": problem.status, "detail": problem.detail, "headers": problem.headers}
    return {**head, "errors": [tuple(error) for error in problem.errors[:MAX_LISTED]]}, b""


def _limit_memory() -> None:
    statm = Path("/proc/self/statm")
    if statm.exists():  # only on Linux; elsewhere the limit would also count shared memory
        taken = int(statm.read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        resource.setrlimit(resource.RLIMIT_AS, (taken + MAX_MEMORY,) * 2)


if __name__ == "__main__":
    main(int(sys.argv[1]))
