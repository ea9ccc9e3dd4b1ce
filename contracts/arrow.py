"""Columns of Arrow as `contracts.encoding` takes them. The service does not import this: it has no Arrow."""

import pyarrow as pa
import pyarrow.compute as pc

from contracts.encoding import Repeated


def repeated(column: pa.Array | pa.ChunkedArray) -> Repeated:
    """The different values of a column, with None as the last one where there are gaps."""
    whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    encoded = whole if pa.types.is_dictionary(whole.type) else whole.dictionary_encode()
    values, positions = encoded.dictionary.to_pylist(), encoded.indices
    if positions.null_count:
        values, positions = [*values, None], positions.fill_null(len(values))
    return Repeated(values, positions.to_numpy(zero_copy_only=False))


def wall_clock(moments: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """Moments in seconds by the clock of their time zone, which is left out, as it is of a date in a text."""
    if getattr(moments.type, "tz", None) not in (None, "UTC"):
        moments = pc.local_timestamp(moments)
    return moments.cast(pa.timestamp("s"), safe=False)
