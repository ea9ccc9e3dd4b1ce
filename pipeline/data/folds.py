"""Train rows in parts, each of which is held out once (Stone, 1974)."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from contracts.errors import UserError
from contracts.schema import CategoricalFeature, ClassTarget, Schema, load_schema
from contracts.settings.load import Params
from models.training.data import Data
from pipeline.data.schema_inference import infer_schema
from pipeline.paths import Paths


def prepare_folds(params: Params, paths: Paths, data: Data) -> None:
    """Write which rows each fold holds out, and a schema whose constants are those of its other rows.

    Raises:
        UserError: where a class has fewer rows than there are folds.
    """
    from sklearn.model_selection import KFold, StratifiedKFold

    n = params.search.folds
    schema, table = load_schema(data.schema), pq.read_table(paths.prepared / "train.parquet")
    target = np.asarray(data.split("train").target)
    by_class = isinstance(schema.target, ClassTarget)
    fewest = int(np.bincount(target).min()) if by_class else len(target)
    if fewest < n:
        what = "its smallest class" if by_class else "it"
        raise UserError(
            f"search.folds: expected at most {fewest} for {params.dataset}, because {what} has so many train rows, "
            f"received {n}"
        )
    splitter = (StratifiedKFold if by_class else KFold)(n, shuffle=True, random_state=params.search.seed)
    for number, (train, held_out) in enumerate(splitter.split(target, target)):
        fold = data.fold(number)
        assert fold.held_out is not None
        np.save(fold.held_out, np.isin(np.arange(len(target)), held_out))
        _refitted(params, schema, table.take(train)).save(Path(fold.schema))


def _refitted(params: Params, schema: Schema, rows) -> Schema:  # type: ignore[no-untyped-def]
    """The schema with every constant fitted on these rows; codes stay, because the rows are encoded already."""
    source = params.source.model_copy(update={"classes": schema.classes}) if schema.picks_one else params.source
    other = infer_schema(schema.dataset, source, rows, schema.raw_md5, params.preprocess.bins)
    features = [
        old if isinstance(old, CategoricalFeature) else new
        for old, new in zip(schema.features, other.features, strict=True)
    ]
    return other.model_copy(update={"features": tuple(features)})
