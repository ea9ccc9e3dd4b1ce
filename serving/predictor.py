"""Predictions from a bundle. Knows neither HTTP nor BentoML nor MLflow."""

from pathlib import Path

import numpy as np
import onnxruntime

from pipeline.schema import NumericTarget, Schema
from serving.bundle import Manifest, open_bundle


class Predictor:
    """A bundle, checked and loaded, ready to predict.

    Args:
        threads: cores that one prediction may use; small networks are fastest on one.

    Raises:
        BundleDamaged: where the bundle is not the one that was sealed.
    """

    def __init__(self, folder: Path, threads: int = 1) -> None:
        self.manifest: Manifest
        self.schema: Schema
        self.manifest, self.schema = open_bundle(folder)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(folder / "model.onnx", options, providers=["CPUExecutionProvider"])
        self._input = self._session.get_inputs()[0].name

    def predict(self, rows: np.ndarray) -> np.ndarray:
        """Class probabilities of shape (n_rows, n_classes), or values of shape (n_rows,).

        Labels and several values have the shape (n_rows, n_outputs), in the order of `schema.outputs`.

        Args:
            rows: float32 of shape (n_rows, schema.input_width), from `pipeline.schema.encode`.
        """
        (output,) = self._session.run(None, {self._input: rows})
        if isinstance(self.schema.target, NumericTarget):
            return output[:, 0]
        if self.schema.task == "binary":
            return np.concatenate([1 - output, output], axis=1)
        return output
