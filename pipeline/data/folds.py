"""Cross-validation (Stone, 1974): each fold of the train rows is held out once."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from contracts.errors import UserError
from contracts.schema import CategoricalFeature, ClassTarget, Feature, Schema, load_schema
from contracts.settings.source import Source
from models.training.data import Data
from pipeline.data.partition import TEST, TRAIN, VALIDATION, times_of, units_of
from pipeline.data.schema_inference import infer_schema
from pipeline.tables import TARGET


def possible_folds(train: Path, schema: Schema, source: Source, folds: int) -> tuple[int, str]:
    """The number of folds, or fewer where a class has fewer different rows, or all rows have fewer groups: at least 1.

    Also returns the reason for fewer folds. Folds in time are counted when they are written.
    """
    if source.splits_by.by == "time":
        return folds, ""
    table = pq.read_table(train)
    _, first = np.unique(units_of(table, source), return_index=True)
    most, owner = len(first), "the table"
    if _is_by_class(schema, source):
        classes, counts = np.unique(table[TARGET].take(first).to_numpy(zero_copy_only=False), return_counts=True)
        most, owner = int(counts.min()), f"class {str(classes[counts.argmin()])!r}"
    kind = "groups of train rows" if source.splits_by.by == "group" else "different train rows"
    return max(1, min(folds, most)), f"{owner} has {most} {kind if source.is_file else 'train rows'}"


def write_folds(data: Data, train: Path, source: Source, bins: int, folds: int, seed: int) -> None:
    """For each fold, write the part of every train row, and a schema that is fitted on the rows with which the fold
    trains.

    Groups and rows with the same values stay together. Where the rows are split by time, a fold holds out the rows
    after those that it trains on.

    Args:
        data: the encoded rows; the files of the folds are written beside them.
        train: the file of the train rows, before the encoding.

    Raises:
        UserError: if there are more folds than different times.
    """
    schema, table = load_schema(data.schema), pq.read_table(train)
    if source.splits_by.by == "time":
        parts = _in_time(times_of(table, source.splits_by.column), folds, schema.dataset)
    else:
        parts = _apart(np.asarray(data.split("train").target), units_of(table, source), schema, source, folds, seed)
    for number, part in enumerate(parts):
        fold = data.fold(number)
        assert fold.held_out is not None
        np.save(fold.held_out, part)
        _refit(schema, table.take(np.flatnonzero(part == TRAIN)), source, bins).save(Path(fold.schema))


def _apart(
    target: np.ndarray, units: np.ndarray, schema: Schema, source: Source, folds: int, seed: int
) -> Iterator[np.ndarray]:
    """Hold out each unit once: with classes in proportion, but groups, which may have several classes, at random."""
    from sklearn.model_selection import KFold, StratifiedKFold

    of_units = target[np.unique(units, return_index=True)[1]]
    splitter = (StratifiedKFold if _is_by_class(schema, source) else KFold)(folds, shuffle=True, random_state=seed)
    for _, held_out in splitter.split(of_units, of_units):
        yield np.isin(units, held_out).astype(np.int8)


def _is_by_class(schema: Schema, source: Source) -> bool:
    return isinstance(schema.target, ClassTarget) and source.splits_by.by != "group"


def _in_time(times: np.ndarray, folds: int, dataset: str) -> Iterator[np.ndarray]:
    """Blocks of about equal size: each block after the first is held out once, and the blocks before it are for
    training.
    """
    begins = np.sort(times)[[number * len(times) // (folds + 1) for number in range(1, folds + 1)]]
    blocks = np.searchsorted(np.unique(begins[begins > times.min()]), times, side="right")
    if blocks.max() < folds:
        raise UserError(
            f"search.folds: expected at most {blocks.max()} for {dataset}, because so many train rows have the same "
            f"time, received {folds}"
        )
    for block in range(1, folds + 1):
        yield np.where(blocks == block, VALIDATION, np.where(blocks < block, TRAIN, TEST)).astype(np.int8)


def _refit(schema: Schema, rows: pa.Table, source: Source, bins: int) -> Schema:
    """The schema with all statistics of these rows; categories keep their codes, in which the rows are encoded.

    The features stay those of the schema, because in fewer rows a column may look like a constant.
    """
    classes = schema.classes if schema.picks_one else source.classes
    columns = {f.name: source.columns.get(f.name, "category") for f in schema.features}
    columns |= {column.name: "drop" for column in schema.dropped if column.role != "weight"}
    # A column without any value in these rows keeps what is known of it: all of its values are missing here.
    empty = {f.name for f in schema.features if schema.image is None and rows[f.name].null_count == len(rows)}
    columns |= dict.fromkeys(empty, "drop")
    source = source.model_copy(update={"task": schema.task, "classes": classes, "columns": columns})
    other = infer_schema(schema.dataset, source, rows, schema.raw_md5, bins)
    refitted = {feature.name: feature for feature in other.features}
    features = [_refitted(old, refitted.get(old.name)) for old in schema.features]
    return other.model_copy(update={"features": tuple(features), "split": schema.split})


def _refitted(old: Feature, new: Feature | None) -> Feature:
    """A feature with the statistics of other rows; `new` is None if these have no value."""
    if new is None:
        return old
    return old.model_copy(update={"rank": new.rank}) if isinstance(old, CategoricalFeature) else new  # type: ignore[union-attr]
