"""Train, validation and test: the split of the rows, and the files of the parts."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from contracts.encoding import encode, encode_target
from contracts.errors import UserError
from contracts.schema import Schema
from pipeline.tables import IMAGE, TARGET, column_to_images


def split_rows(
    target: np.ndarray,
    is_test: np.ndarray | None,
    test_fraction: float,
    validation_fraction: float,
    seed: int,
    stratify: bool,
) -> dict[str, np.ndarray]:
    """The row numbers of each part, in ascending order.

    The test part is split off first, so that it does not depend on `validation_fraction`.

    Args:
        target: class names, shape (n_rows,); only used to stratify.
        is_test: which rows the source declares as test, shape (n_rows,), or None where it declares none.
        validation_fraction: of the rows that are not test rows.
        stratify: split each class in the same proportion.

    Raises:
        UserError: where a part would be empty, or a class too small to be in every part.
    """
    from sklearn.model_selection import train_test_split

    def split(rows: np.ndarray, fraction: float) -> tuple[np.ndarray, np.ndarray]:
        labels = target[rows] if stratify else None
        try:
            rest, part = train_test_split(rows, test_size=fraction, random_state=seed, stratify=labels)
        except ValueError as error:  # its message names what is too few
            raise UserError(
                f"{len(rows)} rows cannot be divided with a test_fraction of {test_fraction:g} and a "
                f"validation_fraction of {validation_fraction:g}: {error} Change the fractions or add rows."
            ) from None
        return np.sort(rest), np.sort(part)

    rows = np.arange(len(target))
    rest, test = split(rows, test_fraction) if is_test is None else (rows[~is_test], rows[is_test])
    train, validation = split(rest, validation_fraction)
    return {"train": train, "validation": validation, "test": test}


def read_part(path: Path, schema: Schema) -> tuple[np.ndarray, np.ndarray]:
    """The encoded features of a part, (n_rows, input_width), and its target, (n_rows,), or (n_rows, n_outputs) for
    labels and several numbers.
    """
    table = pq.read_table(path)
    target = encode_target(schema, table[TARGET].to_pylist())
    if schema.image is not None:
        image = schema.image
        return encode(schema, {IMAGE: column_to_images(table[IMAGE], image.height, image.width)}), target
    return encode(schema, table.drop_columns([TARGET]).to_pandas()), target


def read_weights(path: Path, schema: Schema) -> np.ndarray | None:
    """The weight of each row of a part, float32 of shape (n_rows,); None where the data has no weights."""
    if schema.weight is None:
        return None
    return pq.read_table(path, columns=[schema.weight])[schema.weight].to_numpy().astype(np.float32)
