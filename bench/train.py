"""Compares plain Keras `fit` with our training in one process: `make bench-train`.

Both use the same network, data, seed and batch size. Their epochs alternate, so other load on the machine affects both.
scikit-learn's MLP and a loop in NumPy show the limit of the machine.
"""

import itertools
import json
import resource
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from models.training.runtime import use_threads  # first: imports TensorFlow quietly  # isort: skip
import keras
import numpy as np
import pyarrow as pa
import tensorflow as tf

from bench import results, systems
from bench.machine import machine
from bench.material import Rows, parts
from contracts.errors import UserError
from contracts.schema import Schema
from contracts.spec import Spec
from models.network import build, heads
from models.training import optimizers
from models.training.data import Split
from models.training.fit import compile_trainer, shuffled_row_indices

RESULTS = Path("bench/results/train.json")
SEEDS = (1, 2, 3, 4, 5)
EPOCHS_IN_TURN = 3  # epochs of one call to `fit`, before it is the other side's turn


class Clock(keras.callbacks.Callback):
    """Seconds of each epoch with its validation, except the first of a call to `fit`, which includes set-up."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        now = time.perf_counter()
        if epoch:
            self.seconds.append(now - self.last)
        self.last = now


@dataclass(frozen=True)
class System:
    """A network of the material, the number of timed turns, and the number of epochs before the final metric."""

    name: str
    dataset: str
    metric: str
    spec: Spec
    divide: Callable[[pa.Table], Rows]
    timed: int
    trained: int
    target: float


SYSTEMS = (
    System("S3", "iris", "accuracy", systems.IRIS, partial(systems.iris_split, 1), 20, 100, 5.0),
    System("S4", "fashion_mnist", "accuracy", systems.FASHION, partial(systems.images_split, 5000), 2, 10, 3.0),
    System("S5", "mnist", "accuracy", systems.MNIST_SGD, partial(systems.images_split, 5000), 2, 4, 3.0),
    System("S6", "california_housing", "mae", systems.HOUSING, systems.housing_split, 4, 10, 5.0),
)


def main() -> None:
    use_threads(0)
    chosen = sys.argv[1:]
    names = [system.name for system in SYSTEMS]
    if wrong := [name for name in chosen if name not in names]:
        raise UserError(f"SYSTEM: expected one of {', '.join(names)}, received {wrong[0]!r}")
    known = results.read(RESULTS).get("systems", {})
    for system in SYSTEMS:
        if not chosen or system.name in chosen:
            known[system.name] = measure(system)
            print(json.dumps({system.name: known[system.name]}, indent=2), flush=True)
            results.write(RESULTS, {"machine": machine(), "systems": known})


def measure(system: System) -> dict:
    """Times in seconds, memory in MiB, and the final validation metric for each seed."""
    schema, of = parts(system.dataset, system.divide)
    train, validation = of["train"], of["validation"]
    ways: dict[str, Callable] = {"keras": _keras, "ours": _ours}
    first, memory, runs = {}, {}, {}
    epochs: dict[str, list[float]] = {way: [] for way in ways}
    for way, make in ways.items():
        before = _memory()
        started = time.perf_counter()
        runs[way] = make(system, schema, train, validation, SEEDS[0])
        runs[way]()
        first[way] = time.perf_counter() - started
        memory[way] = round(_memory() - before, 1)
    for _ in range(system.timed):
        for way, run in runs.items():
            clock = Clock()
            run(epochs=EPOCHS_IN_TURN, callbacks=[clock])
            epochs[way] += clock.seconds
    final: dict[str, list[float]] = {way: [] for way in ways}
    for seed in SEEDS:
        for way, make in ways.items():
            run = make(system, schema, train, validation, seed)
            final[way].append(run(epochs=system.trained).history[f"val_{system.metric}"][-1])
            keras.backend.clear_session()
    medians = {way: statistics.median(times) for way, times in epochs.items()}
    limits = {"scikit-learn": _scikit_learn(system, schema, train), "numpy": _numpy(system, schema, train)}
    return {
        "epoch": medians,
        "epoch_low": {way: min(times) for way, times in epochs.items()},
        "epoch_high": {way: max(times) for way, times in epochs.items()},
        "first_epoch": first,
        "memory_grown": memory,
        "ratio": medians["keras"] / medians["ours"],
        "target": system.target,
        "epoch_elsewhere": limits,
        "metric": system.metric,
        "epochs_trained": system.trained,
        "final": final,
        "final_difference": statistics.mean(final["ours"]) - statistics.mean(final["keras"]),
        "final_spread": statistics.stdev(final["keras"]),
    }


def _keras(system: System, schema: Schema, train: Split, validation: Split, seed: int) -> Callable:
    """Plain Keras' `fit` as in its documentation, on arrays."""
    keras.utils.set_random_seed(seed)
    network = build.build(system.spec, schema)
    steps = -(-len(train.target) // system.spec.batch_size)
    loss: Callable = heads.loss(system.spec, schema)
    if schema.task == "regression":
        scale = heads.loss_scale(system.spec, schema)
        # Plain Keras also learns the standardised target, so both sides solve the same problem.
        loss = lambda a, b: tf.reduce_mean(tf.square(scale(a) - scale(b)))  # noqa: E731
    network.compile(optimizers.optimizer(system.spec, steps, system.trained), loss, metrics=heads.metrics(schema))
    y, y_validation = (heads.labels(schema, part.target) for part in (train, validation))
    return partial(
        network.fit, train.features, y,
        batch_size=system.spec.batch_size, validation_data=(validation.features, y_validation), verbose=0,
    )  # fmt: skip


def _ours(system: System, schema: Schema, train: Split, validation: Split, seed: int) -> Callable:
    """Our `fit`: all batches of an epoch in one compiled call."""
    keras.utils.set_random_seed(seed)
    network = build.build(system.spec, schema)
    trainer = compile_trainer(network, system.spec, schema, train, validation, system.trained)
    return partial(
        trainer.fit, shuffled_row_indices(len(train.target), seed),
        steps_per_epoch=1, validation_data=trainer.validation, shuffle=False, verbose=0,
    )  # fmt: skip


def _scikit_learn(system: System, schema: Schema, train: Split) -> float:
    """Seconds of an epoch of scikit-learn's MLP of the same size, without our schedule of the learning rate."""
    from sklearn.neural_network import MLPClassifier, MLPRegressor

    kind = MLPRegressor if schema.task == "regression" else MLPClassifier
    solver = "adam" if system.spec.optimizer == "adam" else "sgd"
    model = kind(
        hidden_layer_sizes=system.spec.widths, solver=solver, learning_rate_init=system.spec.learning_rate,
        batch_size=min(system.spec.batch_size, len(train.target)),
    )  # fmt: skip
    classes = {} if schema.task == "regression" else {"classes": np.unique(train.target)}
    x = _scaled(schema, train)
    model.partial_fit(x, train.target, **classes)
    started = time.perf_counter()
    model.partial_fit(x, train.target)
    return time.perf_counter() - started


def _numpy(system: System, schema: Schema, train: Split) -> float:
    """Seconds of an epoch of plain SGD in NumPy: a loop over batches with handwritten backpropagation."""
    x, y, size = _scaled(schema, train), train.target, system.spec.batch_size
    n_outputs = heads.n_outputs(schema)
    widths = [x.shape[1], *system.spec.widths, n_outputs]
    generator = np.random.default_rng(0)
    weights = [generator.normal(0, a**-0.5, (a, b)).astype("float32") for a, b in itertools.pairwise(widths)]
    biases = [np.zeros(b, "float32") for b in widths[1:]]
    wanted = np.eye(n_outputs, dtype="float32")[y] if schema.classes else y[:, None]
    started = time.perf_counter()
    order = generator.permutation(len(x))
    for first in range(0, len(x), size):
        rows = order[first : first + size]
        values = [x[rows]]
        for i, (w, b) in enumerate(zip(weights, biases, strict=True)):
            z = values[-1] @ w + b
            values.append(np.maximum(z, 0) if i < len(weights) - 1 else z)
        out = values.pop()
        if schema.classes:
            e = np.exp(out - out.max(axis=1, keepdims=True))
            out = e / e.sum(axis=1, keepdims=True)
        delta = (out - wanted[rows]) / len(rows)
        for i in range(len(weights) - 1, -1, -1):
            below = (delta @ weights[i].T) * (values[i] > 0) if i else None
            weights[i] -= 1e-3 * values[i].T @ delta
            biases[i] -= 1e-3 * delta.sum(axis=0)
            delta = below
    return time.perf_counter() - started


def _scaled(schema: Schema, split: Split) -> np.ndarray:
    if schema.image is not None:
        return split.features / np.float32(schema.image.maximum)
    return (split.features - split.features.mean(axis=0)) / split.features.std(axis=0)


def _memory() -> float:
    """The peak resident memory of this process, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(str(error))
