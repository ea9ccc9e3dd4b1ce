"""Train and validation rows as arrays, which the processes that train map into memory."""

from pathlib import Path

from contracts.schema import load_schema
from models.training.data import Data, Split
from pipeline.data.splits import count_rows, encode_rows, encoded_columns, iter_rows, row_weights
from pipeline.paths import Paths


def write_training_data(
    paths: Paths, folder: Path, validation_rows: int | None = None, seed: int = 0, streams: bool = False
) -> Data:
    """Encode the prepared train and validation rows of a dataset, and write them to a folder, batch by batch.

    Args:
        validation_rows: at most; of more a sample, which the seed decides.
        streams: whether trainings read the train rows in blocks.
    """
    schema = load_schema(paths.prepared / "schema.json")
    data = Data(folder, paths.prepared / "schema.json", streams=streams)
    for part, most in (("train", None), ("validation", validation_rows)):
        file = paths.prepared / f"{part}.parquet"
        tables = iter_rows(file, most, seed, encoded_columns(schema))
        batches = (Split(*encode_rows(rows, schema), row_weights(rows, schema)) for rows in tables)
        data.write(part, count_rows(file, most), batches)
    return data
