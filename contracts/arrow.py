"""Columns of Arrow as `contracts.encoding` takes them. The service does not import this: it has no Arrow."""

import contextlib
from collections.abc import Iterable

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


def gaps_for(column: pa.Array | pa.ChunkedArray, markers: Iterable[str]) -> pa.Array | pa.ChunkedArray:
    """The column with a missing value in place of each marker: -999 as a text and as a number."""
    kind, texts = column.type, list(markers)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        marked = pc.is_in(pc.utf8_trim_whitespace(column), value_set=pa.array(texts, kind))
    elif (numbers := numbers_of(texts)) and (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        marked = pc.is_in(column.cast(pa.float64(), safe=False), value_set=pa.array(numbers))
    else:
        return column
    return pc.if_else(marked, pa.scalar(None, kind), column)


def numbers_of(markers: Iterable[str]) -> list[float]:
    """The markers that are numbers, but for NaN, which is missing anyway."""
    found = []
    for marker in markers:
        with contextlib.suppress(ValueError):
            found.append(float(marker))
    return [number for number in found if number == number]


def wall_clock(moments: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """Moments in seconds by the clock of their time zone, which is left out, as it is of a date in a text."""
    if getattr(moments.type, "tz", None) not in (None, "UTC"):
        moments = pc.local_timestamp(moments)
    return moments.cast(pa.timestamp("s"), safe=False)
