"""What runs in the process of one trial. Importing this module imports TensorFlow, quietly."""

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path


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
    import keras
    import numpy as np
    import tensorflow as tf

    from models.export import export
    from models.fit import fit
    from models.spec import Spec
    from models.trial import Data, TrialResult, TrialTask
    from pipeline.schema import load_schema


def train(task: TrialTask, save_to: Path, on_epoch: Callable[[int, float], None]) -> TrialResult:
    """Train one configuration and save the network of its best epoch."""
    _use_threads(task.threads)
    started = time.perf_counter()
    fitted = fit(
        Spec(**task.hyperparameters),
        load_schema(task.data.schema),
        task.data.split("train"),
        task.data.split("validation"),
        monitor=task.monitor,
        higher_is_better=task.higher_is_better,
        epochs=task.epochs,
        patience=task.patience,
        seed=task.seed,
        on_epoch=lambda epoch, value: on_epoch(epoch, value) if epoch % task.report_every == 0 else None,
    )
    save_to.parent.mkdir(parents=True, exist_ok=True)
    fitted.network.save(save_to)
    return TrialResult(
        value=fitted.history[f"val_{task.monitor}"][fitted.best_epoch],
        best_epoch=fitted.best_epoch,
        history=fitted.history,
        n_parameters=fitted.network.count_params(),
        seconds=time.perf_counter() - started,
    )


def export_all(saved: list[Path], folders: list[Path], data: Data, on_epoch: Callable[[int, float], None]) -> None:
    """Export trained networks; the graphs are compared on the first validation rows."""
    _use_threads(0)
    rows = np.array(data.split("validation").features[:256])
    for path, folder in zip(saved, folders, strict=True):
        export(keras.models.load_model(path, compile=False), folder, rows)


def _use_threads(threads: int) -> None:
    with _silenced():
        if threads:
            tf.config.threading.set_intra_op_parallelism_threads(threads)
            tf.config.threading.set_inter_op_parallelism_threads(threads)
        tf.config.list_logical_devices()  # starts the runtime, which complains where there is no GPU
