"""Class weights, as weights of rows."""

import numpy as np

from contracts.schema import Schema
from models.network import heads
from models.training.data import Split


def apply_class_weights(split: Split, schema: Schema, class_weights: str | dict[str, float]) -> Split:
    """The split with the weight of each row multiplied by the weight of its class."""
    weights = heads.class_weights(schema, class_weights)
    if weights is None:
        return split
    weight = weights[np.asarray(split.target)]
    return split._replace(weight=weight if split.weight is None else weight * split.weight)
