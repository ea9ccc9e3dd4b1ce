"""Predictions from a bundle. Knows neither HTTP nor BentoML nor MLflow."""

from pathlib import Path

import numpy as np
import onnxruntime

from contracts.bundle import Manifest, open_bundle
from contracts.schema import NumericTarget, Schema

MANY = 256  # rows from which on a second thread is worth its waking


class Predictor:
    """A bundle, checked and loaded, ready to predict.

    Args:
        bulk_threads: cores that a prediction of many rows may use, 0 for all; few rows are fastest on one.

    Raises:
        BundleDamaged: where the bundle is not the one that was sealed.
    """

    def __init__(self, folder: Path, bulk_threads: int = 1) -> None:
        self.manifest: Manifest
        self.schema: Schema
        self.manifest, self.schema = open_bundle(folder)
        self._few = self._many = _session(folder, 1)
        if bulk_threads != 1:
            self._many = _session(folder, bulk_threads)
        self._input = self._few.get_inputs()[0].name

    def predict(self, rows: np.ndarray) -> np.ndarray:
        """Class probabilities of shape (n_rows, n_classes), or values of shape (n_rows,).

        Labels and several values have the shape (n_rows, n_outputs), in the order of `schema.outputs`.

        Args:
            rows: float32 of shape (n_rows, schema.input_width), from `contracts.schema.encode`.
        """
        session = self._few if len(rows) < MANY else self._many
        (output,) = session.run(None, {self._input: rows})
        if isinstance(self.schema.target, NumericTarget):
            return output[:, 0]
        if self.schema.task == "binary":
            return np.concatenate([1 - output, output], axis=1)
        return output


def _session(folder: Path, threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # threads that wait take no core
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(folder / "model.onnx", options, providers=["CPUExecutionProvider"])
