"""Predictions from a bundle. Imports neither HTTP nor BentoML nor MLflow."""

import os
from pathlib import Path

import numpy as np

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # read at the import; else ONNX Runtime sends usage data

import onnxruntime

from contracts.bundle import BACKGROUND, BundleDamaged, Manifest, open_bundle
from contracts.conformal import load_scores, load_scores_by_row
from contracts.encoding import predictions_of
from contracts.schema import Schema

BULK_ROWS = 256  # rows from which on a second thread saves time


class Predictor:
    """A bundle, verified and loaded. `background` has encoded train rows, None where the bundle has none; `work` is
    about how many multiplications a row takes.

    Args:
        bulk_threads: cores for a prediction of BULK_ROWS rows or more, 0 for all; fewer rows are fastest on one core.

    Raises:
        BundleDamaged: a file is not the one that was sealed, or cannot be loaded.
    """

    def __init__(self, folder: Path, bulk_threads: int = 1) -> None:
        self.manifest: Manifest
        self.schema: Schema
        self.folder = folder
        self.manifest, self.schema = open_bundle(folder)
        self.conformal_scores = load_scores(folder)
        self.conformal_by_row = load_scores_by_row(folder)
        self._session = self._bulk_session = _session(folder, 1)
        if bulk_threads != 1:
            self._bulk_session = _session(folder, bulk_threads)
        self.background = _background(folder, self.schema) if BACKGROUND in self.manifest.files else None
        # A weight is used once for a row, and by each member of an ensemble that shares it.
        members = self.manifest.hyperparameters.get("members") or 1
        self.work = (folder / "model.onnx").stat().st_size / 4 * members
        self._input = self._session.get_inputs()[0].name

    def outputs(self, rows: np.ndarray) -> np.ndarray:
        """The outputs of the network, (n_rows, n_outputs): every quantile; for two classes the probability of the
        second.

        Args:
            rows: float32 of shape (n_rows, schema.input_width), from `contracts.encoding.encode`.
        """
        session = self._session if len(rows) < BULK_ROWS else self._bulk_session
        (outputs,) = session.run(None, {self._input: rows})
        return outputs

    def predict(self, rows: np.ndarray) -> np.ndarray:
        """Class probabilities of shape (n_rows, n_classes), or values of shape (n_rows,).

        Multilabel probabilities and several numbers have shape (n_rows, n_outputs), in the order of `schema.outputs`.
        """
        return predictions_of(self.schema, self.outputs(rows))


def _background(folder: Path, schema: Schema) -> np.ndarray:
    try:
        rows = np.load(folder / BACKGROUND)
    except ValueError as error:
        raise BundleDamaged(f"{folder / BACKGROUND} cannot be read: {error}") from None
    if rows.ndim != 2 or rows.shape[1] != schema.input_width or not len(rows):
        expected = f"rows of {schema.input_width} numbers"
        raise BundleDamaged(f"{folder / BACKGROUND}: expected {expected}, received shape {rows.shape}")
    return rows


def _session(folder: Path, threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # idle threads use no CPU
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(folder / "model.onnx", options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime has an exception for each of its status codes, and no common one
        raise BundleDamaged(f"{folder / 'model.onnx'} is not a model that ONNX Runtime loads: {error}") from None
