"""The target, from the train rows: classes, labels or numbers, with the constants that the network needs."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from contracts.errors import UserError
from contracts.schema import ClassTarget, LabelsTarget, LogScale, NumericTarget, NumericTargets
from contracts.settings.source import Source, Task
from pipeline.tables import TARGET, has_integer_classes

NAMELESS = "target"  # the name of a target that is no column of a table
SKEWED = 1.0  # skewness from which on a distribution counts as highly skewed (Bulmer, 1979, Principles of Statistics)


def infer_target(
    source: Source, task: Task, train: pa.Table
) -> ClassTarget | LabelsTarget | NumericTarget | NumericTargets:
    """The target of the train rows.

    Raises:
        UserError: if it does not fit the task.
    """
    if pa.types.is_struct(train.schema.field(TARGET).type):
        return _several(source, task, pa.Table.from_struct_array(train[TARGET].combine_chunks()).to_pandas())
    column, name = train[TARGET], " and ".join(source.targets) or NAMELESS
    if missing := pc.sum(pc.is_null(column, nan_is_null=True)).as_py():
        raise UserError(f"target {name!r}: expected a value in every row, received {missing} missing")
    if task == "regression":
        if not pa.types.is_integer(column.type) and not pa.types.is_floating(column.type):
            raise UserError(f"target {name!r}: expected numbers for a regression, received {column[0].as_py()!r}")
        return _number(name, column.to_pandas(), source.quantiles)
    found = pc.value_counts(column.cast(pa.string()))  # Python objects for each row would take seconds
    counts = dict(zip(found.field("values").to_pylist(), found.field("counts").to_pylist(), strict=True))
    integers = has_integer_classes(train)
    classes = source.classes or tuple(sorted(counts, key=int if integers else None))
    booleans = len(classes) == 2 and {c.lower() for c in classes} == {"false", "true"}  # not with `True` and `true`
    if (task == "binary" and len(classes) != 2) or len(classes) < 2:
        raise UserError(
            f"target {name!r}: expected {'2 classes' if task == 'binary' else '2 classes or more'}"
            f" for the task {task}, received {len(classes)}"
        )
    return ClassTarget(
        name=name, classes=classes, frequencies=tuple(float(counts.get(c, 0)) / len(column) for c in classes),
        kind="integer" if integers else "boolean" if booleans else "text",
    )  # fmt: skip


def _several(source: Source, task: Task, values: pd.DataFrame) -> LabelsTarget | NumericTargets:
    """A target with a column for each label or number."""
    name = " and ".join(source.targets) or NAMELESS
    if task not in ("multilabel", "regression"):
        raise UserError(f"target {name!r}: expected one class per row for {task}, received several columns")
    if values.isna().any(axis=None):
        raise UserError(f"target {name!r}: expected a value in every row and column, received missing ones")
    if task == "multilabel":
        shares = values.mean().to_dict()
        return LabelsTarget(
            name=name, classes=tuple(map(str, shares)), frequencies=tuple(map(float, shares.values())), multilabel=True
        )
    if source.quantiles:
        raise UserError(f"target {name!r}: expected one number for data.quantiles, received {len(values.columns)}")
    return NumericTargets(name=name, targets=tuple(_number(str(column), values[column]) for column in values))


def _number(name: str, column: pd.Series, levels: tuple[float, ...] = ()) -> NumericTarget:
    values = column.to_numpy(np.float64)
    mean, std, skewness = _moments(values)
    low, high = float(values.min()), float(values.max())
    quantiles = tuple(zip(levels, np.quantile(values, levels).tolist(), strict=True))
    if low < 0 or high <= 0:
        return NumericTarget(name=name, mean=mean, std=std, minimum=low, maximum=high, quantiles=quantiles)
    offset = 0.0 if low > 0 else float(values[values > 0].min())
    log_mean, log_std, log_skewness = _moments(np.log(values + offset))
    return NumericTarget(
        name=name, mean=mean, std=std, log=LogScale(offset=offset, mean=log_mean, std=log_std),
        skewed=skewness > SKEWED and abs(log_skewness) < skewness, minimum=low, maximum=high,
        quantiles=quantiles,
    )  # fmt: skip


def _moments(values: np.ndarray) -> tuple[float, float, float]:
    """Mean, standard deviation, 1 for a constant, and skewness."""
    mean, std = float(values.mean()), float(values.std()) or 1.0
    return mean, std, float(np.mean(((values - mean) / std) ** 3))
