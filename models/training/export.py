"""A trained network as `model.keras` and `model.onnx`."""

import logging
from pathlib import Path

import keras
import numpy as np
import onnxruntime
import tensorflow as tf
import tf2onnx.convert

from models.network.build import MAIN

# Largest difference between Keras and ONNX, relative to the size of the predictions.
TOLERANCE = 1e-5


class ExportFailed(Exception):
    """The exported graph does not run, or its predictions differ from those of the network."""


def inference_model(network: keras.Model) -> keras.Model:
    """The network without its auxiliary output, which only training uses."""
    outputs = getattr(network, "_outputs_struct", None)  # `Model.output` flattens a dict
    if isinstance(outputs, dict):
        return keras.Model(network.input, outputs[MAIN], name=network.name)
    return network


def export(network: keras.Model, folder: Path, rows: np.ndarray) -> None:
    """Write `model.keras` and `model.onnx`, and check that both predict the same.

    tf2onnx only logs an operation that ONNX lacks, so that the check always runs.

    Args:
        rows: encoded rows for the comparison, float32 of shape (n_rows, input_width).

    Raises:
        ExportFailed: where the file cannot be loaded, or its predictions differ by more than `TOLERANCE`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    network.save(folder / "model.keras")
    network = inference_model(network)
    signature = [tf.TensorSpec((None, rows.shape[1]), tf.float32, name="features")]
    predict = tf.function(lambda features: network(features, training=False), signature, autograph=False)
    expected = predict(rows).numpy()
    logging.getLogger("tf2onnx").setLevel(logging.ERROR)
    try:  # not by `Model.export`, which traces each network twice
        tf2onnx.convert.from_function(predict, signature, output_path=str(folder / "model.onnx"))
    except Exception as error:  # tf2onnx raises many types
        raise ExportFailed(f"the network has no ONNX form: {type(error).__name__}: {error}") from error
    try:
        session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
        (received,) = session.run(None, {session.get_inputs()[0].name: rows})
    except Exception as error:  # the errors of ONNX Runtime have no common base class
        raise ExportFailed(f"the exported graph does not run: {error}") from error
    size = np.maximum(np.maximum(1, np.abs(expected)), expected.std(axis=0))
    difference = float(np.max(np.abs(received - expected) / size))
    if not difference <= TOLERANCE:
        raise ExportFailed(f"the exported graph differs from the network by {difference:.2g}, expected {TOLERANCE:.0g}")
