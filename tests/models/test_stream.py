"""Training from a stream: every row once an epoch, in an order that the seed decides, as good as from memory."""

from pathlib import Path

import numpy as np
import pytest

from contracts.ahead import ahead
from models.network import build
from models.training import checkpoint, stream
from models.training.class_weights import apply_class_weights
from models.training.data import Data, Split
from models.training.fit import compile_trainer, fit
from models.training.stream import Stream

LOSS = {"monitor": "log_loss", "higher_is_better": False}


@pytest.fixture(scope="module")
def flowers(data_of, tmp_path_factory):
    """Schema, rows in memory, and the same rows in files."""
    schema, split = data_of("multiclass")
    split = split._replace(weight=np.linspace(0.5, 2, len(split.target)).astype(np.float32))
    folder = tmp_path_factory.mktemp("rows")
    data = Data(folder, folder / "schema.json", streams=True)
    data.save("train", split)
    return schema, split, data


@pytest.fixture
def small(monkeypatch):
    """Blocks of 5 rows of 4 columns, buffers of 34."""
    monkeypatch.setattr(stream, "BLOCK_BYTES", 5 * 16)
    monkeypatch.setattr(stream, "BUFFER_BYTES", 34 * 16)


def test_rows_that_come_in_batches_make_the_same_files(flowers, tmp_path):
    _, split, data = flowers
    parts = Data(tmp_path, tmp_path / "schema.json")
    parts.write("train", 96, (Split(*(part[n : n + 7] for part in split)) for n in range(0, 96, 7)))
    for name in ("features", "target", "weight"):
        file = f"train.{name}.npy"
        assert (tmp_path / file).read_bytes() == (data.folder / file).read_bytes()
        np.testing.assert_array_equal(np.load(tmp_path / file), getattr(split, name))


def test_an_epoch_has_every_row_once_in_an_order_of_its_own(flowers, small):
    schema, split, data = flowers
    rows = Stream(data.split("train"), schema, {"low": 3.0})
    weighted = apply_class_weights(split, schema, {"low": 3.0})
    orders = []
    for seed, epoch in ((1, 0), (1, 1), (2, 0), (1, 0)):
        read = [rows.read(blocks, rows.buffer_rows(16)) for blocks in rows.buffers(16, seed, epoch)]
        assert [n for _, n in read] == [48, 48]  # buffers of whole batches
        together = [np.concatenate([getattr(part, name)[:n] for part, n in read]) for name in Split._fields]
        order = np.lexsort(np.nan_to_num(together[0], nan=-1).T)
        expected = np.lexsort(np.nan_to_num(weighted.features, nan=-1).T)
        for ours, theirs in zip(together, weighted, strict=True):
            np.testing.assert_array_equal(ours[order], theirs[expected])
        orders.append(together[0].tobytes())
    assert orders[0] == orders[3]
    assert len(set(orders)) == 3


@pytest.mark.parametrize("compiled_from", [0, 100])
def test_streamed_steps_are_those_of_training_on_the_same_batches(compiled_from, flowers, small, spec_of, monkeypatch):
    """The rows of all buffers in the order of the stream, trained on from memory."""
    monkeypatch.setattr("models.training.fit.XLA_MIN_STEPS", compiled_from)
    schema, split, data = flowers
    spec, rows = spec_of(batch_size=20), Stream(data.split("train"), schema)
    ours, theirs = build.build(spec, schema), build.build(spec, schema)
    theirs.set_weights(ours.get_weights())
    trainer = compile_trainer(ours, spec, schema, rows, split, 2, seed=3)
    trainer.make_train_function()
    other = compile_trainer(theirs, spec, schema, split, split, 2)
    other.make_train_function()
    for epoch in range(2):
        trainer.train_function(iter([epoch]))
        generator = np.random.default_rng([3, epoch, 1])
        order = []
        for blocks in rows.buffers(20, 3, epoch):
            numbers = np.concatenate([np.arange(*block) for block in blocks])
            order.extend(numbers[generator.permutation(len(numbers))])
        other.train_function(iter([np.array(order, np.int32)]))
    for mine, their in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(mine, their, atol=1e-6)
    assert trainer.optimizer.iterations == other.optimizer.iterations == 2 * 5
    assert float(trainer.get_metrics_result()["loss"]) == pytest.approx(float(other.get_metrics_result()["loss"]))


def test_a_streamed_training_is_as_good_as_one_from_memory(flowers, small, spec_of):
    schema, split, data = flowers
    settings = {"epochs": 40, "patience": 40, **LOSS}

    def best(rows, seed):
        return min(fit(spec_of(), schema, rows, split, seed=seed, **settings).history["val_loss"])

    streamed = [best(Stream(data.split("train"), schema), seed) for seed in (0, 1)]
    in_memory = [best(split, seed) for seed in (0, 1)]
    assert np.mean(streamed) == pytest.approx(np.mean(in_memory), rel=0.1)


def test_an_interrupted_streamed_training_resumes(flowers, small, spec_of, tmp_path, monkeypatch):
    schema, split, data = flowers
    monkeypatch.setattr(checkpoint, "MIN_SECONDS", 0)
    spec, rows = spec_of(dropout=0.2), Stream(data.split("train"), schema)
    settings = {"epochs": 4, "patience": 4, "seed": 5, **LOSS}

    def interrupt(epoch, value):
        if epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(spec, schema, rows, split, on_epoch=interrupt, checkpoint=tmp_path / "state.npz", **settings)
    resumed = fit(spec, schema, rows, split, checkpoint=tmp_path / "state.npz", **settings)
    whole = fit(spec, schema, rows, split, **settings)
    assert resumed.history == whole.history
    for one, other in zip(resumed.network.get_weights(), whole.network.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_file_that_became_shorter_is_named(flowers, small, tmp_path):
    schema, split, _ = flowers
    data = Data(tmp_path, tmp_path / "schema.json")
    data.save("train", split)
    rows = Stream(data.split("train"), schema)
    with (tmp_path / "train.target.npy").open("rb+") as file:
        file.truncate(200)
    with pytest.raises(OSError, match=r"train\.target\.npy: expected 96 rows, received a shorter file"):
        rows.read(rows.buffers(16, 0, 0)[0] + rows.buffers(16, 0, 0)[1], 96)


def test_reading_a_stream_takes_the_memory_of_its_buffers(flowers, tmp_path):
    """A file of zeros takes no place on disk; its pages would count as memory of this process if it were mapped."""
    schema, _, _ = flowers
    n_rows, data = 25_000_000, Data(tmp_path, tmp_path / "schema.json")
    data.write("train", n_rows, [Split(np.zeros((1, 4), np.float32), np.zeros(1, np.int32))])
    for name, row_bytes in (("features", 16), ("target", 4)):
        with (tmp_path / f"train.{name}.npy").open("rb+") as file:
            file.truncate(128 + n_rows * row_bytes)
    rows = Stream(data.split("train"), schema)
    size = rows.buffer_rows(256)
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
    before = peak_bytes()
    buffers = rows.buffers(256, 0, 0)
    assert sum(n for _, n in ahead(rows.read(blocks, size) for blocks in buffers)) == n_rows
    assert peak_bytes() - before < 200e6 < n_rows * 16


def peak_bytes() -> int:
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024
