"""The latency of the exported graph."""

import statistics
import tempfile
import time
from pathlib import Path

import keras
import numpy as np
import onnxruntime

from models.training.export import export

WARM_UP_CALLS, CALLS = 20, 200


def latency(network: keras.Model, rows: np.ndarray) -> float:
    """Median seconds that ONNX Runtime takes for one row on one thread, as in the service.

    Args:
        rows: encoded rows, shape (n_rows, input_width).
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    with tempfile.TemporaryDirectory() as folder:
        export(network, Path(folder), rows)
        session = onnxruntime.InferenceSession(Path(folder) / "model.onnx", options, providers=["CPUExecutionProvider"])
    feed = {session.get_inputs()[0].name: rows[:1]}
    seconds = []
    for _ in range(WARM_UP_CALLS + CALLS):
        started = time.perf_counter()
        session.run(None, feed)
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds[WARM_UP_CALLS:])
