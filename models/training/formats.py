"""A trained network and its learning curves in the formats of other tools."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from models.training.runtime import use_threads  # first: imports TensorFlow quietly  # isort: skip
import keras
import numpy as np
import tensorflow as tf

from models.training.export import inference_model


def write_formats(model: Path, folder: Path, input_width: int) -> None:
    """Write a `.keras` file as `saved_model/`, `model.weights.h5` (weights) and `architecture.json` (layers)."""
    use_threads(0)
    network = inference_model(keras.models.load_model(model, compile=False))
    network(np.zeros((1, input_width), np.float32))  # Keras exports an ensemble or a mean only after a call
    network.export(folder / "saved_model", format="tf_saved_model", verbose=False)
    network.save_weights(folder / "model.weights.h5")
    (folder / "architecture.json").write_text(network.to_json(), encoding="utf-8")


def write_events(curves: Mapping[str, Sequence[tuple[int, float]]], folder: Path) -> None:
    """Write TensorBoard's event files in `train/` and `validation/`, two runs that it draws in the same charts.

    Args:
        curves: the points (epoch, value) of each metric; the names of validation metrics begin with `val_`.
    """
    for part, prefix in (("train", ""), ("validation", "val_")):
        with tf.summary.create_file_writer(str(folder / part)).as_default():
            for key, points in curves.items():
                if key.startswith("val_") == bool(prefix):
                    for epoch, value in points:
                        tf.summary.scalar(key.removeprefix(prefix), value, epoch)
