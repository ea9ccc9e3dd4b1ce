"""The predictions of a teacher in the place of the train targets (Hinton et al., 2015, arXiv 1503.02531). The reasons
are in docs/decisions/0034-ensembles.md.
"""

from pathlib import Path

import keras

from models.training.calibration import predict
from models.training.data import Split


def with_predictions(split: Split, teacher: Path) -> Split:
    """The split with the predictions of a saved network as its targets, float32 of shape (n_rows, n_outputs).

    They are probabilities, quantiles, or values in the unit of the target.
    """
    return split._replace(target=predict(keras.models.load_model(teacher, compile=False), split.features))
