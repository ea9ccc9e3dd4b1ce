"""The rows of a Parquet file, a batch at a time, as training reads them."""

from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet

from contracts.arrow import gaps_for, repeated, wall_clock
from contracts.encoding import Repeated
from contracts.schema import CategoricalFeature, DateFeature, Feature, NumericFeature, TextForm
from serving.validation.columns import spellings
from serving.validation.csv_rows import read_number
from serving.validation.validator import EncodedRows, InputValidator

BATCH_ROWS = 65_536  # rows in memory


def parquet_chunks(validator: InputValidator, path: Path) -> Iterator[EncodedRows]:
    """The encoded rows of each batch; raises `Problem` as the validator does, and ValueError for a column that is
    missing, or is there twice.
    """
    file = pa.parquet.ParquetFile(path, pre_buffer=False)
    names = Counter(file.schema_arrow.names)
    if missing := [name for name in validator.names if not names[name]]:
        raise ValueError(f"{path}: expected columns {', '.join(validator.names)}; {', '.join(missing)} missing")
    if twice := [name for name in validator.names if names[name] > 1]:
        raise ValueError(f"{path}: expected each name once, received more than once: {', '.join(twice)}")
    rows_before, form = 0, validator.schema.text or TextForm()
    for batch in file.iter_batches(BATCH_ROWS, columns=list(validator.names)):
        columns = {
            feature.name: _values(feature, _without_markers(batch.column(feature.name), form.missing), form)
            for feature in validator.features
        }
        yield validator.validate_columns(columns, partial(_row_path, rows_before), [])
        rows_before += batch.num_rows


def _without_markers(column: pa.Array, missing: tuple[str, ...]) -> pa.Array:
    """A missing value in place of each marker that stands for one in the data of the model."""
    markers = list(filter(None, missing))
    if markers and _is_text(column.type):  # each different text once
        encoded = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
        return gaps_for(encoded.dictionary, markers).take(encoded.indices)
    return gaps_for(column, markers) if markers else column


def _values(feature: Feature, column: pa.Array, form: TextForm) -> Any:
    """The values of a column: an array or `Repeated` if the feature can have all of them, else a list, so that each
    error is named.
    """
    kind = column.type
    if column.null_count and not getattr(feature, "missing", True):
        return column.to_pylist()
    is_number = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    if isinstance(feature, NumericFeature) and is_number:
        return column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    if isinstance(feature, NumericFeature) and _is_text(kind):
        unit = form.units.get(feature.name, "")
        return [value if value is None else read_number(value, form, unit) for value in column.to_pylist()]
    if isinstance(feature, CategoricalFeature) and not pa.types.is_integer(kind) and (is_number or _is_moment(kind)):
        return _as_texts(feature, column)
    if isinstance(feature, CategoricalFeature | DateFeature) and _is_text(kind):
        return repeated(column)
    if isinstance(feature, DateFeature) and _is_moment(kind):
        return wall_clock(column).to_numpy(zero_copy_only=False)
    return column.to_pylist()


def _as_texts(feature: CategoricalFeature, column: pa.Array) -> Repeated:
    """Numbers with fractions or moments as the categories that training made of them."""
    if _is_moment(column.type):
        return repeated(wall_clock(column).cast(pa.string()))
    kind = column.type if pa.types.is_float32(column.type) else pa.float64()
    kind = pa.float32() if pa.types.is_float16(column.type) else kind
    found = repeated(column.cast(kind))
    as_arrow = pa.array(found.values, kind).cast(pa.string()).to_pylist()
    texts = [None if v is None or v != v else [*spellings(v), t] for v, t in zip(found.values, as_arrow, strict=True)]
    known = [t and next((text for text in t if text in feature.categories), t[0]) for t in texts]
    return Repeated(known, found.positions)


def _is_moment(kind: pa.DataType) -> bool:
    return pa.types.is_date(kind) or pa.types.is_timestamp(kind)


def _is_text(kind: pa.DataType) -> bool:
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def _row_path(rows_before: int, row: int, name: str) -> str:
    return f"row {rows_before + row}, column {name!r}"
