"""Row ids: hashes that tell whether a model was trained on a row."""

import hashlib

import numpy as np
import pandas as pd
import pyarrow as pa

from pipeline.tables import IMAGE, TARGET


def row_ids(table: pa.Table) -> np.ndarray:
    """A hash of each row's features, uint64 of shape (n_rows,): two rows with equal features have the same."""
    if IMAGE in table.column_names:
        pixels = np.asarray(table[IMAGE].combine_chunks().flatten()).reshape(len(table), -1)
        return np.array(
            [int.from_bytes(hashlib.blake2b(row.tobytes(), digest_size=8).digest(), "little") for row in pixels],
            np.uint64,
        )
    return pd.util.hash_pandas_object(table.drop_columns([TARGET]).to_pandas(), index=False).to_numpy()
