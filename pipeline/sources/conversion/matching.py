"""Whether the texts of a column have a form."""

import pyarrow as pa
import pyarrow.compute as pc

MOSTLY = 0.9  # a column of text with a larger share of numbers, or dates, is one of numbers, or dates, with mistakes


def matches(column: pa.Array, pattern: str) -> bool:
    """Whether a column has texts, and each matches. The first is tried alone, because most patterns do not fit it."""
    present = column.drop_null()
    return len(present) > 0 and all(
        pc.all(pc.match_substring_regex(texts, pattern)).as_py() for texts in (present[:1], present)
    )
