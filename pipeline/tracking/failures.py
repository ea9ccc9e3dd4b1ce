"""What a finished search can do without: a failure of it is a warning, and the run goes on."""

import contextlib
import sys
from collections.abc import Iterator

from pipeline.tracking.databases import is_disk_full


@contextlib.contextmanager
def optional(what: str) -> Iterator[None]:
    """Print a line of warning where a picture, a log entry or a report fails. A full disk still ends the run, because
    what follows would fail too.

    Args:
        what: the thing that is missing then, as a noun.
    """
    try:
        yield
    except Exception as error:
        if is_disk_full(error):
            raise
        reason = " ".join(str(error).split())[:300]
        print(f"  warning: without {what}: {type(error).__name__}: {reason}", file=sys.stderr, flush=True)
