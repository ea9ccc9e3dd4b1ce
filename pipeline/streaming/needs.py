"""The memory that a raw table takes in preprocess, as a whole and streamed: estimates from measurements."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.resources import check_room

OF_NUMBER, OF_TEXT = 60, 250  # bytes for each value at the peak of a run without streaming
OF_TRAIN_ROW = 80  # bytes of the two columns that are examined together


def needs_as_whole(raw: Path) -> int:
    """Bytes that the table takes in memory."""
    schema, rows = pq.read_schema(raw), pq.read_metadata(raw).num_rows
    return rows * sum(OF_TEXT if pa.types.is_string(field.type) else OF_NUMBER for field in schema)


def check_stream(raw: Path, limit: int) -> None:
    """Refuse a limit below a batch of rows and the columns that are in memory at a time."""
    metadata = pq.read_metadata(raw)
    batch = max((metadata.row_group(number).total_byte_size for number in range(metadata.num_row_groups)), default=0)
    check_room(limit, 4 * batch + OF_TRAIN_ROW * metadata.num_rows, f"a batch of {raw} and a column of all rows")
