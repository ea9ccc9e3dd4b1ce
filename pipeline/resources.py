"""The cores and the memory that this process may use; the memory decides whether a table is streamed."""

import os
from contextlib import suppress
from pathlib import Path
from typing import Literal, NamedTuple

from contracts.errors import UserError

GIB = 2**30
SHARE = 0.5  # share of the memory for one table
CGROUP = Path("/sys/fs/cgroup")


Memory = Literal["auto"] | float  # GiB


class Choice(NamedTuple):
    """Whether a table is streamed, and why; `limit` is the memory that it may take, in bytes. `is_clear` is whether the
    reason is not printed, because the table is small and no setting names a limit.
    """

    streams: bool
    limit: int
    reason: str
    is_clear: bool


def choose(memory: Memory, needed: int, setting: str, is_lasting: bool = False) -> Choice:
    """Stream a table that would take more memory than it may.

    Args:
        memory: the value of `setting`, GiB.
        needed: estimated bytes of the table as a whole, at the peak.
        is_lasting: whether the next run must choose the same: then all memory decides, not the free memory.
    """
    if memory != "auto":
        limit, of = int(memory * GIB), f"{setting}, {memory:g} GiB"
    else:
        available, which = (all_memory(), "this machine's") if is_lasting else (free_memory(), "the free")
        limit = int(SHARE * available)
        of = f"half of {which} memory, {limit / GIB:.3g} GiB"
    streams = needed > limit
    how, compared = ("streamed in batches", "more") if streams else ("read as a whole", "no more")
    reason = f"{how}: about {needed / GIB:.3g} GiB as a whole, {compared} than {of}"
    return Choice(streams, limit, reason, is_clear=memory == "auto" and needed < limit / 10)


def check_room(limit: int, needed: int, what: str) -> None:
    """Refuse a limit that is too small for a stream.

    Raises:
        UserError: with the figure that is needed.
    """
    if needed > limit:
        wanted = -(-needed * 1000 // GIB) / 1000
        raise UserError(
            f"fetch.memory: expected {wanted:g} GiB or more, which {what} take, received {limit / GIB:.3g} GiB"
        )


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def all_memory() -> int:
    """Bytes of memory: those of the machine, or of the container where it has less."""
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    with suppress(OSError, ValueError):  # there is no limit, or it says "max"
        return min(total, int((CGROUP / "memory.max").read_text()))
    return total


def free_memory() -> int:
    """Bytes that this process can take: the free memory of the machine, or less if its control group allows less."""
    return min(_of_machine(), _of_group())


def _of_machine() -> int:
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        fields = dict(line.split(":", 1) for line in meminfo.read_text().splitlines())
        return int(fields["MemAvailable"].split()[0]) * 1024
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _of_group() -> int:
    """The memory that the control group of a container leaves; cached files count as free."""
    try:
        most, taken = ((CGROUP / f"memory.{name}").read_text().strip() for name in ("max", "current"))
        stat = dict(line.split() for line in (CGROUP / "memory.stat").read_text().splitlines())
        return 2**62 if most == "max" else max(0, int(most) - int(taken) + int(stat["inactive_file"]))
    except OSError:
        return 2**62
