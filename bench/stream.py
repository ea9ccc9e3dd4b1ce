"""Training from a stream beside training from memory, and predictions of a file: `make bench-stream`.

A million generated rows of 12 numbers and 8 categories. Both ways train the same network in one process, their epochs
in turns. Peak memory is that of a process of its own for each way. The peer is Keras' own `fit` over a `tf.data`
pipeline that reads CSV.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from models.training.runtime import use_threads  # first: imports TensorFlow quietly  # isort: skip
import keras
import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import tensorflow as tf

from bench import results
from bench.machine import machine
from bench.train import Clock
from contracts.bundle import Manifest, seal
from contracts.conformal import save_scores
from contracts.schema import Schema, load_schema
from contracts.settings.load import Source
from contracts.spec import Spec
from models.network import build, heads
from models.training import optimizers
from models.training.data import Data
from models.training.export import export
from models.training.fit import compile_trainer, epoch_numbers, fit, shuffled_row_indices
from models.training.stream import Stream
from pipeline.data.schema_inference import infer_schema
from pipeline.data.training_data import write_training_data
from pipeline.paths import Paths
from pipeline.tables import TARGET
from serving.batch.file import predict_file

RESULTS = Path("bench/results/stream.json")
ROWS = {"train": 1_000_000, "validation": 50_000}
PEER_ROWS = 100_000  # of CSV in an epoch of the peer
TURNS, SEEDS, EPOCHS = 3, (1, 2, 3, 4, 5), 1
SPEC = Spec(
    depth=2, width=128, activation="relu", dropout=0.0, optimizer="adam", learning_rate=0.001, batch_size=256,
    categorical="embedding",
)  # fmt: skip
SIZES = (2, 3, 5, 10, 20, 50, 100, 1000)  # values of each category
WAYS = ("memory", "stream")


def main() -> None:
    if len(sys.argv) == 3:
        return _measure_memory(sys.argv[1], Path(sys.argv[2]))
    use_threads(0)
    with tempfile.TemporaryDirectory() as name:
        paths = Paths("generated", Path(name))
        _write(paths)
        report: dict = {"rows": ROWS["train"], "columns": 20}
        started = time.perf_counter()
        data = write_training_data(paths, Path(name))
        report["encoded_rows_per_second"] = sum(ROWS.values()) / (time.perf_counter() - started)
        report["machine"] = machine("tensorflow", "keras", "numpy", "pyarrow", "onnxruntime")
        for part in (_speed, _peer, _quality, _memory, _predictions):
            report |= part(paths, data)
            print(json.dumps(report, indent=2), flush=True)
            results.write(RESULTS, report)


def _write(paths: Paths) -> None:
    """Rows whose class depends on numbers and categories; the schema is that of the first 100,000."""
    generator = np.random.default_rng(0)
    effects = [generator.normal(size=size) for size in SIZES]
    paths.prepared.mkdir(parents=True)
    for part, n_rows in ROWS.items():
        numbers = generator.normal(size=(12, n_rows))
        codes = [generator.integers(0, size, n_rows) for size in SIZES]
        signal = numbers[0] * numbers[1] + np.sin(2 * numbers[2]) + numbers[3]
        signal += sum(effect[code] for effect, code in zip(effects, codes, strict=True)) / 2
        columns: dict = {f"number_{i}": column for i, column in enumerate(numbers)}
        for i, (size, code) in enumerate(zip(SIZES, codes, strict=True)):
            columns[f"category_{i}"] = pa.array([f"value {n}" for n in range(size)]).take(pa.array(code))
        columns[TARGET] = np.where(signal + generator.normal(size=n_rows) > 0, "yes", "no")
        table = pa.table(columns)
        pq.write_table(table, paths.prepared / f"{part}.parquet", row_group_size=131_072, compression="zstd")
        if part == "train":
            source = Source(source="scikit-learn", task="binary")
            infer_schema("generated", source, table[:100_000], "", bins=0).save(paths.prepared / "schema.json")


def _trainer(data: Data, way: str, seed: int) -> Callable:
    """A function that trains for a number of epochs, with these callbacks."""
    keras.utils.set_random_seed(seed)
    schema, rows = load_schema(data.schema), data.split("train")
    train = rows if way == "memory" else Stream(rows, schema)
    order = shuffled_row_indices(len(rows.target), seed) if way == "memory" else epoch_numbers()
    trainer = compile_trainer(build.build(SPEC, schema), SPEC, schema, train, data.split("validation"), 100)
    return partial(trainer.fit, order, steps_per_epoch=1, shuffle=False, verbose=0)


def _speed(paths: Paths, data: Data) -> dict:
    ways = {way: _trainer(data, way, 0) for way in WAYS}
    rates: dict[str, list[float]] = {way: [] for way in WAYS}
    for _ in range(TURNS):
        for way, train in ways.items():
            clock = Clock()  # without the first epoch of a call, which compiles
            train(epochs=2, callbacks=[clock])
            rates[way].append(ROWS["train"] / clock.seconds[0])
    return {"rows_per_second": _spread(rates), "stream_against_memory": _median_ratio(rates)}


def _peer(paths: Paths, data: Data) -> dict:
    """Keras' documentation for CSV that is too large: `CsvDataset`, shuffled in a buffer, batched and prefetched."""
    schema, rows = load_schema(data.schema), data.split("train")
    columns = [*np.array(rows.features[:PEER_ROWS]).T, np.array(rows.target[:PEER_ROWS], np.float32)]
    path = paths.root / "rows.csv"
    pyarrow.csv.write_csv(pa.table(columns, names=[str(i) for i in range(len(columns))]), path)
    kinds = [tf.float32] * len(columns)
    lines = tf.data.experimental.CsvDataset(str(path), kinds, header=True).shuffle(10_000).batch(SPEC.batch_size)
    batches = lines.map(lambda *c: (tf.stack(c[:-1], axis=1), c[-1][:, None])).prefetch(tf.data.AUTOTUNE)
    network = build.build(SPEC, schema)
    network.compile(optimizers.optimizer(SPEC, 1, 1), heads.loss(SPEC, schema), metrics=heads.metrics(schema))
    network.fit(batches, verbose=0)
    rates = [_rate(PEER_ROWS, lambda: network.fit(batches, verbose=0)) for _ in range(3)]
    return {"keras_fit_over_csv": _spread({"rows_per_second": rates})}


def _quality(paths: Paths, data: Data) -> dict:
    schema, validation = load_schema(data.schema), data.split("validation")
    found: dict[str, list[float]] = {way: [] for way in WAYS}
    for seed in SEEDS:
        for way in WAYS:
            rows = data.split("train")
            fitted = fit(
                SPEC, schema, rows if way == "memory" else Stream(rows, schema), validation,
                monitor="log_loss", higher_is_better=False, epochs=EPOCHS, patience=EPOCHS, seed=seed,
            )  # fmt: skip
            found[way].append(min(fitted.history["val_log_loss"]))
            keras.backend.clear_session()
    difference = statistics.mean(found["stream"]) - statistics.mean(found["memory"])
    spread = max(statistics.stdev(values) for values in found.values())
    return {"log_loss": found, "log_loss_difference": difference, "log_loss_spread": spread}


def _memory(paths: Paths, data: Data) -> dict:
    """Peak MiB of a process that trains for one epoch, minus those of a process that only imports and builds."""
    peaks = {}
    for way in ("nothing", *WAYS):
        command = [sys.executable, "-m", "bench.stream", way, str(paths.root)]
        peaks[way] = int(subprocess.run(command, capture_output=True, text=True, check=True).stdout) / 1024
    return {"peak_mib": {way: peaks[way] - peaks["nothing"] for way in WAYS}, "peak_mib_of_imports": peaks["nothing"]}


def _measure_memory(way: str, root: Path) -> None:
    use_threads(0)
    data = Data(root, Paths("generated", root).prepared / "schema.json")
    if way == "nothing":
        build.build(SPEC, load_schema(data.schema))
    else:
        _trainer(data, way, 0)(epochs=1)
    # `ru_maxrss` begins with that of the process that started this one.
    print(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])


def _predictions(paths: Paths, data: Data) -> dict:
    """Parquet to Parquet with an untrained network, in a process without TensorFlow's threads at work."""
    schema, bundle = load_schema(data.schema), paths.root / "bundle"
    write_bundle(build.build(SPEC, schema), schema, np.array(data.split("validation").features[:1000]), bundle)
    source = paths.prepared / "train.parquet"
    rates, cpu = [], []
    for _ in range(TURNS):
        before = os.times()
        rates.append(_rate(ROWS["train"], lambda: predict_file(bundle, source, paths.root / "predictions.parquet")))
        cpu.append(os.times().user + os.times().system - before.user - before.system)
    return {"predicted": _spread({"rows_per_second": rates, "cpu_seconds": cpu})}


def write_bundle(network: keras.Model, schema: Schema, rows: np.ndarray, bundle: Path) -> None:
    """A bundle of a network as it is; `rows` are encoded ones to compare its ONNX graph on, 1,000 of them."""
    export(network, bundle, rows)
    schema.save(bundle / "schema.json")
    save_scores(bundle, schema, rows, np.zeros(1000, int), np.full((1000, 2), 0.5, np.float32))
    seal(bundle, _manifest(schema))


def _manifest(schema: Schema) -> Manifest:
    return Manifest(
        dataset=schema.dataset, task=schema.task, metric="log_loss", validation={}, hyperparameters=SPEC.model_dump(),
        seed=0, threads=0, trial=0, study="", best_epoch=0, n_parameters=0, train_md5="", validation_md5="",
        git_revision="", mlflow_run_id="", versions={},
    )  # fmt: skip


def _rate(n_rows: int, call: Callable) -> float:
    started = time.perf_counter()
    call()
    return n_rows / (time.perf_counter() - started)


def _spread(values: dict[str, list[float]]) -> dict:
    return {key: {"median": statistics.median(v), "low": min(v), "high": max(v)} for key, v in values.items()}


def _median_ratio(rates: dict[str, list[float]]) -> float:
    """Of pairs of turns, which other load disturbs alike."""
    return statistics.median(ours / theirs for ours, theirs in zip(rates["stream"], rates["memory"], strict=True))


if __name__ == "__main__":
    main()
