"""Class weights, as weights of rows."""

import numpy as np

from contracts.schema import ClassTarget, Schema
from models.training.data import Split


def apply_class_weights(split: Split, schema: Schema, class_weights: str | dict[str, float]) -> Split:
    """The split with the weight of each row multiplied by the weight of its class.

    `balanced` weights are inversely proportional to class frequencies, with a mean of 1 over the rows (King and Zeng,
    2001). A class that is not named has the weight 1.
    """
    if class_weights == "none" or not isinstance(schema.target, ClassTarget):
        return split
    if isinstance(class_weights, dict):
        of_classes = np.array([class_weights.get(name, 1.0) for name in schema.classes])
    else:
        shares = np.array(schema.target.frequencies)
        of_classes = 1 / (len(shares) * np.maximum(shares, 1e-12))
    weight = of_classes.astype(np.float32)[np.asarray(split.target)]
    return split._replace(weight=weight if split.weight is None else weight * split.weight)
