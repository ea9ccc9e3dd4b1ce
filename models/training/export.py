"""From a trained network to the files of a bundle."""

import logging
import warnings
from pathlib import Path

import keras
import numpy as np
import onnxruntime

from models.network.build import MAIN

# Largest difference between Keras and ONNX, relative to the size of the predictions.
TOLERANCE = 1e-5


class ExportFailed(Exception):
    """The exported graph does not predict what the network does."""


def served(network: keras.Model) -> keras.Model:
    """What predicts, without an auxiliary output, which is for training only."""
    if isinstance(_outputs(network), dict):
        return keras.Model(network.input, _outputs(network)[MAIN], name=network.name)
    return network


def _outputs(network: keras.Model):  # type: ignore[no-untyped-def]
    """The outputs as they were given: Keras' own `output` flattens a dict."""
    return getattr(network, "_outputs_struct", None)


def export(network: keras.Model, folder: Path, rows: np.ndarray) -> None:
    """Write `model.keras` and `model.onnx`, and make sure that both predict the same.

    An operation that ONNX does not have is only printed by the exporter, so the file is always loaded and
    compared.

    Args:
        rows: encoded rows to compare on, shape (n_rows, input_width).

    Raises:
        ExportFailed: where the file cannot be loaded or predicts something else.
    """
    folder.mkdir(parents=True, exist_ok=True)
    network.save(folder / "model.keras")
    network = served(network)
    expected = np.asarray(network(rows))  # also what the exporter needs: a network that was called
    logging.getLogger("tf2onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # Keras' exporter looks at a name that NumPy dropped
        network.export(folder / "model.onnx", format="onnx", verbose=False)
    try:
        session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
        (received,) = session.run(None, {session.get_inputs()[0].name: rows})
    except Exception as error:  # onnxruntime's errors have no common class
        raise ExportFailed(f"the exported graph does not run: {error}") from error
    difference = float(np.max(np.abs(received - expected) / np.maximum(1, np.abs(expected))))
    if not difference <= TOLERANCE:
        raise ExportFailed(f"the exported graph differs from the network by {difference:.2g}, expected {TOLERANCE:.0g}")
