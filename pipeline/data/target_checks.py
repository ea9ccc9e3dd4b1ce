"""Whether a column can be predicted: it is no constant and no identifier, and has no class of one or two rows."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from contracts.errors import UserError
from contracts.settings.source import Source, Task
from pipeline.data.roles import FEW, GROUPS, role_of
from pipeline.tables import FEWEST, TARGET

SHOWN = 5  # classes named in a message
LARGEST = float(np.sqrt(np.finfo(np.float32).max))  # of a larger number the square, which errors are, is infinite
FINEST = 0.01  # of the standard deviation: largest distance of two numbers that a network tells apart


def check_target(table: pa.Table, source: Source, task: Task) -> None:
    """Check the target of the user's own table, before its rows are divided.

    Raises:
        UserError: with what was expected of a target, and what this target holds.
    """
    column, name = table[TARGET], " and ".join(source.targets) or "the name of the folder"
    if pa.types.is_nested(column.type):
        return
    if not len(column):
        raise UserError(f"target {name!r}: expected values, received none in all rows")
    low, high = pc.min_max(column).as_py().values()
    if low == high:
        raise UserError(f"target {name!r}: expected two values or more, received only {low!r}")
    if task not in ("binary", "multiclass"):
        largest = max(low, high, key=abs)
        if abs(largest) > LARGEST:
            raise UserError(
                f"target {name!r}: expected numbers of at most {LARGEST:.1e}, received {largest:g}: correct it, or "
                "list it in data.missing"
            )
        apart = float(np.spacing(np.float32(abs(largest))))
        if apart > pc.stddev(column).as_py() * FINEST:
            raise UserError(
                f"target {name!r}: expected numbers that differ enough for 32-bit floating point, received numbers "
                f"from {low:,} to {high:,}, where it has one every {apart:,g}: predict the difference to {low:,}"
            )
        found = role_of(column.to_pandas().rename(name)) if source.task is None else None
        if found is not None:
            raise UserError(
                f"target {name!r}: expected a column to predict, received an identifier: {found.reason}; if it is a "
                "number to predict, set data.task: regression"
            )
        return
    counts = {count["values"]: count["counts"] for count in column.value_counts().to_pylist()}
    if len(counts) > max(FEW, GROUPS * len(column)):
        raise UserError(
            f"target {name!r}: expected classes, or numbers, received {len(counts):,} different texts in "
            f"{len(column):,} rows, such as {next(iter(counts))!r}"
        )
    small = [f"{count} of {value!r}" for value, count in counts.items() if count < FEWEST]
    if small and source.test_source is None and source.splits_by.by in ("hash", "random", "group"):
        received = ", ".join(small[:SHOWN]) + (", …" if len(small) > SHOWN else "")
        raise UserError(
            f"target {name!r}: expected {FEWEST} rows or more of every class, received {received}: "
            "add rows, or leave these out"
        )
