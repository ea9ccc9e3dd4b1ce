"""Optional parts of a run: if one fails, a warning is printed and the run continues."""

import contextlib
import sys
from collections.abc import Iterator

from pipeline.tracking.databases import is_disk_full


@contextlib.contextmanager
def optional(what: str) -> Iterator[None]:
    """Print a line of warning if a picture, a log entry or a report fails. A full disk still ends the run, because the
    next steps would fail too.

    Args:
        what: the missing thing, as a noun.
    """
    try:
        yield
    except Exception as error:
        if is_disk_full(error):
            raise
        reason = " ".join(str(error).split())[:300]
        print(f"  warning: without {what}: {type(error).__name__}: {reason}", file=sys.stderr, flush=True)
