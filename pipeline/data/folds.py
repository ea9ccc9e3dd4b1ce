"""Train rows in parts, each of which is held out once (Stone, 1974)."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from contracts.errors import UserError
from contracts.schema import CategoricalFeature, ClassTarget, Schema, load_schema
from contracts.settings.sections import Source
from models.training.data import Data
from pipeline.data.schema_inference import infer_schema


def write_folds(data: Data, train: Path, source: Source, bins: int, folds: int, seed: int) -> None:
    """Write which train rows each fold holds out, and a schema whose constants are those of its other rows.

    Args:
        data: the encoded rows; the folds lie beside them.
        train: the prepared train rows, not encoded.

    Raises:
        UserError: where a class has fewer rows than there are folds.
    """
    from sklearn.model_selection import KFold, StratifiedKFold

    schema, table = load_schema(data.schema), pq.read_table(train)
    target = np.asarray(data.split("train").target)
    by_class = isinstance(schema.target, ClassTarget)
    fewest = int(np.bincount(target).min()) if by_class else len(target)
    if fewest < folds:
        what = "its smallest class" if by_class else "it"
        raise UserError(
            f"search.folds: expected at most {fewest} for {schema.dataset}, because {what} has so many train rows, "
            f"received {folds}"
        )
    splitter = (StratifiedKFold if by_class else KFold)(folds, shuffle=True, random_state=seed)
    for number, (rest, held_out) in enumerate(splitter.split(target, target)):
        fold = data.fold(number)
        assert fold.held_out is not None
        np.save(fold.held_out, np.isin(np.arange(len(target)), held_out))
        _refit(schema, table.take(rest), source, bins).save(Path(fold.schema))


def _refit(schema: Schema, rows: pa.Table, source: Source, bins: int) -> Schema:
    """The schema with every constant fitted on these rows; codes stay, because the rows are encoded already."""
    classes = schema.classes if schema.picks_one else source.classes
    source = source.model_copy(update={"task": schema.task, "classes": classes})
    other = infer_schema(schema.dataset, source, rows, schema.raw_md5, bins)
    features = [
        old if isinstance(old, CategoricalFeature) else new
        for old, new in zip(schema.features, other.features, strict=True)
    ]
    return other.model_copy(update={"features": tuple(features)})
