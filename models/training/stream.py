"""Training from a stream: the train rows stay in their files, and one buffer of them is on the device. The reasons are
in docs/decisions/0072-training-from-a-stream.md.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from contracts.ahead import ahead
from contracts.metrics import Metric
from contracts.schema import Schema
from contracts.spec import Spec
from models.training.class_weights import apply_class_weights
from models.training.data import Split
from models.training.epoch import EpochTrainer, labelled

BLOCK_BYTES = 2**18  # bytes of consecutive rows: blocks of this size are read at random about as fast as in order
BUFFER_BYTES = 2**25  # 128 blocks, whose rows are shuffled together; two such buffers are in memory


class Block(NamedTuple):
    """The rows from `first` to before `end`."""

    first: int
    end: int


@dataclass(frozen=True)
class Stream:
    """Train rows in files. `rows` maps them, which takes no memory as long as nothing reads them."""

    rows: Split
    schema: Schema
    class_weights: str | dict[str, float] = "none"

    def __len__(self) -> int:
        return len(self.rows.target)

    def buffers(self, batch_size: int, seed: int, epoch: int) -> list[list[Block]]:
        """The blocks of each buffer of an epoch: all rows once, in an order of blocks that seed and epoch decide.

        Every buffer but the last holds whole batches. A block at the end of a buffer is continued in the next.
        """
        n_block = max(1, BLOCK_BYTES // self._row_bytes)
        order = np.random.default_rng([seed, epoch]).permutation(-(-len(self) // n_block)) * n_block
        size = self.buffer_rows(batch_size)
        buffers: list[list[Block]] = [[]]
        room = size
        for first in order.tolist():
            end = min(first + n_block, len(self))
            while first < end:
                if not room:
                    buffers.append([])
                    room = size
                taken = min(end - first, room)
                buffers[-1].append(Block(first, first + taken))
                first, room = first + taken, room - taken
        return buffers

    def buffer_rows(self, batch_size: int) -> int:
        """The rows of a buffer, a multiple of the batch size."""
        n_rows = min(max(1, BUFFER_BYTES // self._row_bytes), len(self))
        return -(-n_rows // batch_size) * batch_size

    def read(self, blocks: list[Block], size: int) -> tuple[Split, int]:
        """The weighted rows of some blocks in arrays of `size` rows, padded with zeros, and the number of rows."""
        n_rows = sum(block.end - block.first for block in blocks)
        features, target, weight = self.rows
        weights = None if weight is None else _read(weight, blocks, size)
        rows = Split(_read(features, blocks, size), _read(target, blocks, size), weights)
        return apply_class_weights(rows, self.schema, self.class_weights), n_rows

    @property
    def _row_bytes(self) -> int:
        return self.rows.features[:1].nbytes


class StreamTrainer(EpochTrainer):
    """Trains on one buffer of a stream after the other, with the compiled steps of `EpochTrainer`.

    `fit` gets the numbers of the epochs as its data. A thread reads the next buffer while this one is trained on.
    """

    def __init__(
        self, network: keras.Model, spec: Spec, stream: Stream, validation: Split, uses_xla: bool, seed: int,
        validation_metric: Metric | None = None,
    ) -> None:  # fmt: skip
        first, _ = stream.read([Block(0, 1)], 1)
        super().__init__(network, spec, stream.schema, first, validation, uses_xla, validation_metric)
        self.stream, self.seed = stream, seed

    def make_train_function(self, force: bool = False) -> None:
        """One call is an epoch. The steps are compiled once, because every buffer has the same shape."""
        on_batches = tf.function(self.train_on_batches, jit_compile=self.uses_xla, autograph=False)
        on_rows = tf.function(self.train_on, autograph=False)

        def train_epoch(epochs) -> dict[str, tf.Tensor]:  # type: ignore[no-untyped-def]
            size, epoch = self.stream.buffer_rows(self.batch_size), int(next(epochs))
            buffers = self.stream.buffers(self.batch_size, self.seed, epoch)
            generator = np.random.default_rng([self.seed, epoch, 1])
            for rows, n_rows in ahead(self.stream.read(blocks, size) for blocks in buffers):
                parts = tuple(tf.constant(part) for part in labelled(self.schema, rows))
                order = np.arange(size, dtype=np.int32)
                order[:n_rows] = generator.permutation(n_rows)
                n_full = n_rows // self.batch_size
                if n_full:
                    on_batches(parts, tf.constant(order.reshape(-1, self.batch_size)), tf.constant(n_full))
                if n_rows % self.batch_size:
                    on_rows(parts, tf.constant(order[n_full * self.batch_size : n_rows]))
            return self.get_metrics_result()

        self.train_function = train_epoch


def _read(part: np.ndarray, blocks: list[Block], size: int) -> np.ndarray:
    """Read rows without mapping the file, because mapped pages count as memory of the process."""
    assert isinstance(part, np.memmap)
    assert part.filename is not None
    values = np.zeros((size, *part.shape[1:]), part.dtype)
    into, row_bytes, filled = values.reshape(-1).view(np.uint8), part[:1].nbytes, 0
    with Path(part.filename).open("rb", buffering=0) as file:
        for first, end in blocks:
            file.seek(part.offset + first * row_bytes)
            last = filled + (end - first) * row_bytes
            if file.readinto(into[filled:last].data) != last - filled:
                raise OSError(f"{part.filename}: expected {len(part)} rows, received a shorter file")
            filled = last
    return values
