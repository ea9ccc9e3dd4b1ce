"""Whether the encoded train rows of a table fit in memory."""

import os
from contextlib import suppress
from pathlib import Path

GIB = 2**30
SHARE = 0.5  # of the machine's memory: trainings, the system and its cache of files need the rest


def why_streamed(n_rows: int, width: int, memory: str | float) -> str:
    """Why train rows are read from a stream, in words; empty where they fit.

    Args:
        width: the columns of an encoded row.
        memory: `train.memory`, in GiB.
    """
    limit = SHARE * machine_memory() / GIB if isinstance(memory, str) else memory
    needed = n_rows * width * 4 / GIB
    if needed <= limit:
        return ""
    whose = "half of this machine's memory" if isinstance(memory, str) else "train.memory"
    return (
        f"{n_rows:,} train rows of {width} columns take {needed:.3g} GiB, more than {limit:.3g} GiB, {whose}: "
        "each training reads them from a stream"
    )


def machine_memory() -> int:
    """Bytes of memory: those of the machine, or of the container where it has less."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for limit in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        with suppress(OSError, ValueError):  # there is none, or it says "max"
            total = min(total, int(Path(limit).read_text()))
    return total
