"""Train and validation rows as arrays, which the processes that train map into memory."""

from collections.abc import Sequence
from pathlib import Path

from contracts.schema import load_schema
from models.training.data import Data, Split
from pipeline.data.splits import count_rows, encode_rows, encoded_columns, iter_rows, row_weights
from pipeline.paths import Paths


def write_training_data(
    paths: Paths, folder: Path, validation_rows: int | None = None, seed: int = 0, streams: bool = False,
    samples: Sequence[int] = (),
) -> Data:  # fmt: skip
    """Encode the prepared train and validation rows of a dataset, and write them to a folder, batch by batch.

    Args:
        validation_rows: most rows; a larger part is sampled, as the seed decides.
        streams: whether trainings read the train rows in blocks.
        samples: the numbers of train rows that are drawn and written beside all of them, for `Data.sample`.
    """
    schema = load_schema(paths.prepared / "schema.json")
    data = Data(folder, paths.prepared / "schema.json", streams=streams)
    for part, most in (("train", None), ("validation", validation_rows), *(("train", n_rows) for n_rows in samples)):
        file = paths.prepared / f"{part}.parquet"
        tables = iter_rows(file, most, seed, encoded_columns(schema))
        batches = (Split(*encode_rows(rows, schema), row_weights(rows, schema)) for rows in tables)
        of_part = data.sample(most) if part == "train" and most else data
        of_part.write(part, count_rows(file, most), batches)
    return data
