"""The reports and the end of a job, as data that passes between processes."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Progress:
    """A job reports a value and waits for `Pool.answer`: whether to go on."""

    job: Any
    epoch: int
    value: float


@dataclass(frozen=True)
class Done:
    job: Any
    result: Any


@dataclass(frozen=True)
class Stopped:
    """The job ended because the answer to its report was not to go on."""

    job: Any


@dataclass(frozen=True)
class Failed:
    """The job raised, took too long, or its process died. `disk_full` says that the disk had no room for its files."""

    job: Any
    reason: str
    disk_full: bool = False


Event = Progress | Done | Stopped | Failed
