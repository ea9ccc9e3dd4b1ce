"""Train and validation rows as arrays, which the processes that train map into memory."""

from pathlib import Path

from contracts.schema import load_schema
from models.training.data import Data, Split
from pipeline.data.splits import read_part, read_weights
from pipeline.paths import Paths


def write_training_data(paths: Paths, folder: Path) -> Data:
    """Encode the prepared train and validation rows of a dataset, and write them to a folder."""
    schema = load_schema(paths.prepared / "schema.json")
    data = Data(folder, paths.prepared / "schema.json")
    for part in ("train", "validation"):
        file = paths.prepared / f"{part}.parquet"
        data.save(part, Split(*read_part(file, schema), read_weights(file, schema)))
    return data
