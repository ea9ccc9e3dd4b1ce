"""TensorFlow, imported quietly, and the threads that it computes with. Import this module before Keras."""

import contextlib
import os
from collections.abc import Iterator


@contextlib.contextmanager
def _silenced() -> Iterator[None]:
    """Drop what is written to stderr, by native code too: TensorFlow reports absent GPUs as errors."""
    keep = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(keep, 2)
        os.close(keep)
        os.close(nowhere)


os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
with _silenced():
    import tensorflow as tf


def use_threads(threads: int) -> None:
    """Start TensorFlow's runtime with so many threads, 0 for its own choice; only the first call has an effect."""
    with _silenced():
        if threads:
            tf.config.threading.set_intra_op_parallelism_threads(threads)
            tf.config.threading.set_inter_op_parallelism_threads(threads)
        tf.config.list_logical_devices()  # starts the runtime, which complains where there is no GPU
