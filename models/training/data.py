"""Training data as files that worker processes map into memory."""

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np


class Split(NamedTuple):
    """Encoded features of shape (n_rows, input_width), targets of shape (n_rows,) or (n_rows, n_outputs), and row
    weights of shape (n_rows,), None for equal weights.
    """

    features: np.ndarray
    target: np.ndarray
    weight: np.ndarray | None = None


@dataclass(frozen=True)
class Data:
    """The files of a trial's data: `{train,validation}.{features,target,weight}.npy`, and the schema.

    The rows of a fold are train rows, divided by the file `held_out`, int8 of shape (n_rows,): 0 for training, 1 for
    validation, 2 for neither. `streams` is whether a training reads the train rows in blocks. `train` names the files
    of the train rows.
    """

    folder: Path
    schema: Path
    held_out: Path | None = None
    streams: bool = False
    train: str = "train"

    def save(self, name: str, split: Split) -> None:
        """Write the arrays of the split `train` or `validation`."""
        self.write(name, len(split.target), [split])

    def write(self, name: str, n_rows: int, batches: Iterable[Split]) -> None:
        """Write `n_rows` rows that come in batches; a mapped file would count as memory of this process."""
        with contextlib.ExitStack() as stack:
            files = {}
            for batch in batches:
                for part, values in batch._asdict().items():
                    if values is None:
                        continue
                    if part not in files:
                        files[part] = stack.enter_context(self._file(name, part).open("wb"))
                        shape, kind = (n_rows, *values.shape[1:]), np.lib.format.dtype_to_descr(values.dtype)
                        header = {"descr": kind, "fortran_order": False, "shape": shape}
                        np.lib.format.write_array_header_1_0(files[part], header)
                    np.ascontiguousarray(values).tofile(files[part])

    def split(self, name: str) -> Split:
        """Map the arrays of the split `train` or `validation`; changes to them stay in this process."""
        paths = [self._file("train" if self.held_out else name, part) for part in Split._fields]
        split = Split(*(np.load(path, mmap_mode="c") for path in paths if path.exists()))
        if self.held_out is None:
            return split
        rows = np.load(self.held_out) == int(name == "validation")
        return Split(*(values[rows] for values in split if values is not None))

    def fold(self, number: int) -> "Data":
        """The data of one fold, whose files `pipeline.data.folds` writes."""
        schema, held_out = self.folder / f"fold_{number}.json", self.folder / f"fold_{number}.npy"
        return replace(self, schema=schema, held_out=held_out)

    def sample(self, n_rows: int) -> "Data":
        """The data with a sample of `n_rows` train rows, which has its own files."""
        return replace(self, train=f"train_{n_rows}")

    def _file(self, name: str, part: str) -> Path:
        return self.folder / f"{self.train if name == 'train' else name}.{part}.npy"
