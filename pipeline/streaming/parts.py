"""Divide the rows of a file into train, validation and test, batch by batch, as `divide` does in memory."""

from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from contracts.errors import UserError
from contracts.settings.sections import Preprocess
from contracts.settings.source import Source
from pipeline.data.partition import (
    PARTS,
    TRAIN,
    assign,
    check_classes,
    check_parts,
    repetition_note,
    small_class_note,
)
from pipeline.streaming.hashes import hash_groups
from pipeline.streaming.shares import Shares
from pipeline.tables import IS_TEST, TARGET, row_groups

SAMPLE = 150_000  # rows of all parts together to which the edges of bins are fitted
REPORTED = 50_000  # rows among them for the data report


@dataclass(frozen=True)
class Divided:
    """The number of rows of each part, a sample of them, and the columns with missing values.

    `parts` has the part of each row; `keys` the hash of each row of a sample.
    """

    parts: np.ndarray
    samples: dict[str, pa.Table]
    keys: dict[str, np.ndarray]
    share: float
    incomplete: frozenset[str]

    def smaller_samples(self) -> dict[str, pa.Table]:
        """Smaller samples for the data report: the rows of each part with the lowest hashes, so that copies stay
        together.
        """
        kept = {name: keys / 2.0**64 < self.share * REPORTED / SAMPLE for name, keys in self.keys.items()}
        return {name: rows.take(np.flatnonzero(kept[name])) for name, rows in self.samples.items()}

    @property
    def rows(self) -> list[int]:
        return np.bincount(self.parts, minlength=len(PARTS)).tolist()


def divide_file(
    raw: Path, files: Mapping[str, Path], source: Source, settings: Preprocess, classes: pa.DictionaryArray | None
) -> tuple[Divided, tuple[str, ...]]:
    """Write the rows of each part to a file; also returns sentences for a person about the parts.

    Args:
        classes: the class of each row, where the target has classes.

    Raises:
        UserError: if the rows cannot be divided by the rule.
    """
    rule, names = source.splits_by, pq.read_schema(raw).names
    if rule.by == "random":
        raise UserError(
            "data.split by random: expected a table that is read as a whole, received one that is streamed: "
            "split by hash, group, time or column, or raise fetch.memory"
        )
    if rule.by == "hash":
        declared = pq.read_table(raw, columns=[IS_TEST])[IS_TEST].to_numpy() if IS_TEST in names else None
        shares = Shares(settings, declared, classes)
        divided = _write(raw, files, settings, shares.place)
        while shares.changed():
            divided = _write(raw, files, settings, shares.place)
        notes = [small_class_note(name) for name in shares.for_train]
    else:
        known = pq.read_schema(raw).empty_table() if rule.column not in names else None  # a message lists them
        columns = [name for name in names if name in (rule.column, IS_TEST)]
        table = pq.read_table(raw, columns=columns) if known is None else known
        part, notes = assign(table, source, settings, None)
        divided = _write(raw, files, settings, lambda start, hashes: part[start : start + len(hashes)])
    check_parts(divided.rows, rule)
    if classes is not None:
        codes = classes.indices.to_numpy()
        found = (np.bincount(codes), np.bincount(codes[divided.parts == TRAIN]))  # which sorts nothing
        present, in_train = ({classes.dictionary[int(code)].as_py() for code in np.flatnonzero(of)} for of in found)
        check_classes(present, in_train, rule)
    if source.is_file and rule.by != "group" and (repeated := _repeated(divided)):
        about = "" if divided.share >= 1 else "about "
        notes.append(repetition_note(f"{about}{round(repeated / min(1, divided.share)):,}", rule))
    return divided, tuple(notes)


def _write(
    raw: Path, files: Mapping[str, Path], settings: Preprocess, place: Callable[[int, np.ndarray], np.ndarray]
) -> Divided:
    """Write the parts, with the rows in their order.

    Args:
        place: gives the part of each row of a batch, from the number of the first one and their hashes.
    """
    source = pq.ParquetFile(raw, pre_buffer=False)
    schema, n_rows = source.schema_arrow, source.metadata.num_rows
    names = [name for name in schema.names if name not in (TARGET, IS_TEST)]
    kept = schema.remove(schema.get_field_index(IS_TEST)) if IS_TEST in schema.names else schema
    parts, share, start = np.empty(n_rows, np.uint8), SAMPLE / max(n_rows, 1), 0
    samples: dict[str, list[pa.Table]] = {name: [kept.empty_table()] for name in PARTS}
    keys: dict[str, list[np.ndarray]] = {name: [np.empty(0, np.uint64)] for name in PARTS}
    incomplete: set[str] = set()
    with ExitStack() as stack:
        add = {name: stack.enter_context(row_groups(files[name], kept)) for name in PARTS}
        hashed = stack.enter_context(closing(hash_groups(raw, names, settings.seed, settings.scheduler)))
        threads, writing = stack.enter_context(ThreadPoolExecutor(len(PARTS))), list[Future[None]]()
        for group, hashes in enumerate(hashed):
            table = source.read_row_group(group, columns=kept.names)
            part = place(start, hashes)
            parts[start : start + len(part)] = part
            start += len(part)
            # The half of the second hash that does not decide on the part.
            key = hashes[:, 0] ^ (hashes[:, 1] << np.uint64(32) | hashes[:, 1] >> np.uint64(32))
            sampled = key / 2.0**64 < share
            incomplete |= {name for name in set(names) - incomplete if _has_gap(table[name])}
            _wait_for(writing)
            for number, name in enumerate(PARTS):
                writing.append(threads.submit(add[name], table.take(np.flatnonzero(part == number))))
                rows = np.flatnonzero((part == number) & sampled)
                samples[name].append(table.take(rows))
                keys[name].append(key[rows])
        _wait_for(writing)
    return Divided(
        parts, {name: pa.concat_tables(tables) for name, tables in samples.items()},
        {name: np.concatenate(found) for name, found in keys.items()}, share, frozenset(incomplete),
    )  # fmt: skip


def _wait_for(writing: list[Future[None]]) -> None:
    while writing:
        writing.pop().result()


def _has_gap(column: pa.ChunkedArray) -> bool:
    return bool(column.null_count or (pa.types.is_floating(column.type) and pc.any(pc.is_nan(column)).as_py()))


def _repeated(divided: Divided) -> int:
    """The rows of the samples of validation and test that have all values of a train row."""
    train, *others = divided.keys.values()
    return sum(int(np.isin(keys, train).sum()) for keys in others)
