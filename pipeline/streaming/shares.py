"""The part of a row by its hashes alone, as `divide` gives it by `hash` in memory."""

import numpy as np
import pyarrow as pa

from contracts.settings.sections import Preprocess
from pipeline.data.partition import TEST, TRAIN, VALIDATION


class Shares:
    """A rule that gives the part of a row by its shares, which are its hashes as fractions of the largest hash.

    The rule is final when all rows have been placed: if a part has no row, the row with the lowest share goes there; if
    train lacks a class, all its rows but the source's own test rows become train rows. Then all rows are placed again.
    """

    def __init__(self, settings: Preprocess, declared: np.ndarray | None, classes: pa.DictionaryArray | None) -> None:
        """
        Args:
            declared: the source's own test rows, if it has any.
            classes: the class of each row, where the target has classes.
        """
        self.test, self.validation = settings.test_fraction, settings.validation_fraction
        self.declared = declared if declared is not None and declared.any() else None
        self.classes, self.for_train = classes, list[str]()
        self.names: list[str] = [] if classes is None else classes.dictionary.to_pylist()
        self._begin()

    def place(self, start: int, hashes: np.ndarray) -> np.ndarray:
        """The part of each of these rows, uint8 of shape (n_rows,); the first one is row `start` of the table."""
        shares, stop = hashes / 2.0**64, start + len(hashes)
        part = np.full(len(hashes), TRAIN, np.uint8)
        if self.declared is not None:
            part[self.declared[start:stop]] = TEST
        else:
            part[shares[:, 0] <= self.test] = TEST
            self.lowest[0] = min(self.lowest[0], shares[:, 0].min(initial=1.0))
        left = part == TRAIN
        part[left & (shares[:, 1] <= self.validation)] = VALIDATION
        self.lowest[1] = min(self.lowest[1], shares[left, 1].min(initial=1.0))
        self.rows += np.bincount(part, minlength=3)
        if self.classes is not None:
            codes = self.classes.indices[start:stop].to_numpy()
            small = np.isin(codes, [code for code, name in enumerate(self.names) if name in self.for_train])
            part[small if self.declared is None else small & ~self.declared[start:stop]] = TRAIN
            self.in_train[codes[part == TRAIN]] = True
        return part

    def changed(self) -> bool:
        """Whether the rows have changed the rule."""
        absent = sorted(self.names[code] for code in np.flatnonzero(~self.in_train))
        if not self.rows[TEST] and self.test < self.lowest[0]:
            self.test = self.lowest[0]
        elif not self.rows[VALIDATION] and self.validation < self.lowest[1]:
            self.validation = self.lowest[1]
        elif absent and not self.for_train:
            self.for_train = absent
        else:
            return False
        self._begin()
        return True

    def _begin(self) -> None:
        self.in_train = np.zeros(len(self.names), bool)
        self.rows, self.lowest = np.zeros(3, np.int64), [1.0, 1.0]
