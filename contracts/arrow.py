"""Columns of Arrow as `contracts.encoding` takes them. The service does not import this: it has no Arrow."""

import pyarrow as pa

from contracts.encoding import Repeated


def repeated(column: pa.Array | pa.ChunkedArray) -> Repeated:
    """The different values of a column, with None as the last one where there are gaps."""
    whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    encoded = whole if pa.types.is_dictionary(whole.type) else whole.dictionary_encode()
    values, positions = encoded.dictionary.to_pylist(), encoded.indices
    if positions.null_count:
        values, positions = [*values, None], positions.fill_null(len(values))
    return Repeated(values, positions.to_numpy(zero_copy_only=False))
