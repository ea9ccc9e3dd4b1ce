"""Predictions from a bundle. Knows neither HTTP nor BentoML nor MLflow."""

from pathlib import Path

import numpy as np
import onnxruntime

from pipeline.schema import ClassTarget, NumericTarget, Schema
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

    def answers(self, rows: np.ndarray) -> list[dict]:
        """The predictions as `POST /predict` gives them: labels with probabilities, or values."""
        if len(rows) == 0:
            return []
        predictions = self.predict(rows)
        if isinstance(self.schema.target, NumericTarget):
            return [{"value": value} for value in predictions.tolist()]
        if not isinstance(self.schema.target, ClassTarget):
            names = self.schema.outputs
            several = [dict(zip(names, row, strict=True)) for row in predictions.tolist()]
            if self.schema.task == "regression":
                return [{"values": row} for row in several]
            return [{"labels": [n for n, p in row.items() if p >= 0.5], "probabilities": row} for row in several]
        classes = self.schema.target.classes
        return [
            {"label": classes[best], "probability": row[best], "probabilities": dict(zip(classes, row, strict=True))}
            for best, row in zip(predictions.argmax(axis=1).tolist(), predictions.tolist(), strict=True)
        ]
