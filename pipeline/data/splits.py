"""Train, validation and test: how rows are divided, and how the parts are kept on disk."""

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
    """Row numbers of each part, in their original order within the part.

    The test part is taken first, so that it does not depend on how validation is chosen.

    Args:
        target: the labels, shape (n_rows,).
        is_test: which rows the source declares as test, shape (n_rows,), or None where it declares none.
        validation_fraction: of the rows that are not test.
        stratify: divide each class in the same proportion.

    Raises:
        UserError: where a part would be empty, or a class too small to be in every part.
    """
    from sklearn.model_selection import train_test_split

    def divide(rows: np.ndarray, fraction: float) -> tuple[np.ndarray, np.ndarray]:
        labels = target[rows] if stratify else None
        try:
            rest, part = train_test_split(rows, test_size=fraction, random_state=seed, stratify=labels)
        except ValueError as error:  # it says what is too few
            raise UserError(
                f"{len(rows)} rows cannot be divided with a test_fraction of {test_fraction:g} and a "
                f"validation_fraction of {validation_fraction:g}: {error} Change the fractions or add rows."
            ) from None
        return np.sort(rest), np.sort(part)

    rows = np.arange(len(target))
    rest, test = divide(rows, test_fraction) if is_test is None else (rows[~is_test], rows[is_test])
    train, validation = divide(rest, validation_fraction)
    return {"train": train, "validation": validation, "test": test}


def read_part(path: Path, schema: Schema) -> tuple[np.ndarray, np.ndarray]:
    """A prepared part as the graph reads it: features (n_rows, input_width) and target (n_rows,), or for
    labels and several numbers (n_rows, n_outputs).
    """
    table = pq.read_table(path)
    target = encode_target(schema, table[TARGET].to_pylist())
    if schema.image is not None:
        image = schema.image
        return encode(schema, {IMAGE: column_to_images(table[IMAGE], image.height, image.width)}), target
    return encode(schema, table.drop_columns([TARGET]).to_pandas()), target


def read_weights(path: Path, schema: Schema) -> np.ndarray | None:
    """What each row of a prepared part counts, float32 of shape (n_rows,); None where all count the same."""
    if schema.weight is None:
        return None
    return pq.read_table(path, columns=[schema.weight])[schema.weight].to_numpy().astype(np.float32)
