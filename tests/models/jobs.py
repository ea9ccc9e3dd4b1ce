"""What the jobs of a pool run in its tests: nothing that needs TensorFlow."""

import os
import tempfile
import time
from collections.abc import Callable

OnEpoch = Callable[[int, float], None]
IMPORTED_BY = os.getpid()


def report(values: list[float], on_epoch: OnEpoch) -> list[float]:
    for epoch, value in enumerate(values):
        on_epoch(epoch, value)
    return values


def report_pid_and_sleep(seconds: float, on_epoch: OnEpoch) -> None:
    on_epoch(0, os.getpid())
    time.sleep(seconds)


def span(seconds: float, on_epoch: OnEpoch) -> tuple[float, float]:
    started = time.monotonic()
    time.sleep(seconds)
    return started, time.monotonic()


def pid(on_epoch: OnEpoch) -> int:
    return os.getpid()


def imported_by(on_epoch: OnEpoch) -> tuple[int, int]:
    return IMPORTED_BY, os.getpid()


def fail(message: str, on_epoch: OnEpoch) -> None:
    raise ValueError(message)


def allocate(n_bytes: int, on_epoch: OnEpoch) -> None:
    on_epoch(0, os.getpid())
    bytearray(n_bytes)


def leave_a_file_and_sleep(seconds: float, on_epoch: OnEpoch) -> None:
    """As TensorFlow does with the functions that it compiles."""
    file, _ = tempfile.mkstemp(prefix="left-behind-")
    os.close(file)
    report_pid_and_sleep(seconds, on_epoch)
