"""Predictions for a folder of parts: one Parquet file a part, and a commit file once all parts are there.

A run that ends early is begun again: a finished part stays if its rows and the model are the same.
"""

import contextlib
import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from contracts.bundle import MANIFEST
from contracts.files import md5
from serving.batch.file import TEXTS, is_table, only_run, open_predictor, predict_rows
from serving.errors import Problem
from serving.predictor import Predictor

COMMIT = "_predictions.json"  # readers of Parquet folders ignore names that begin with `_`
UNFINISHED = "_unfinished-"  # prefix of the folder of one run
PART_MD5, MODEL_MD5 = "part_md5", "model_md5"  # keys in the metadata of a part's predictions


class Part(NamedTuple):
    """The file of its rows, the file of its predictions, and the folder for unfinished files."""

    rows: Path
    predictions: Path
    unfinished: Path


class Finished(NamedTuple):
    """A part with predictions: its rows, their hash, the warnings, and whether it was finished before this run."""

    rows: int
    md5: str
    warnings: int
    is_kept: bool


def predict_here(predictor: Predictor, parts: Sequence[Part]) -> list[Finished]:
    """Predict one part after another in this process."""
    return [predict_part(predictor, part) for part in parts]


def predict_parts(
    bundle: Path,
    source: Path,
    target: Path,
    predict: Callable[[Predictor, Sequence[Part]], Sequence[Finished]] = predict_here,
) -> str:
    """Write the predictions for every part of a folder; returns a sentence that says what was done.

    Raises:
        Problem: the errors of an invalid part. Finished parts stay.
        ValueError: the folders cannot be input and output, or a part cannot be read.
    """
    predictor = open_predictor(bundle)
    outputs = _outputs(source)
    target.mkdir(parents=True, exist_ok=True)
    if target.samefile(source):
        raise ValueError(f"OUT: expected another folder than IN, received {target}")
    with only_run(target, os.open(target, os.O_RDONLY)):
        _refuse_others(target, outputs)
        (target / COMMIT).unlink(missing_ok=True)
        with _folder_of_run(target.resolve()) as folder:
            parts = [Part(path.resolve(), target.resolve() / name, folder) for name, path in outputs.items()]
            done = predict(predictor, parts)
            rows = sum(part.rows for part in done)
            entries = [
                {"part": path.name, "predictions": name, "rows": part.rows, "md5": part.md5}
                for (name, path), part in zip(outputs.items(), done, strict=True)
            ]
            commit = {"rows": rows, MODEL_MD5: md5(bundle / MANIFEST), "parts": entries}
            (folder / COMMIT).write_text(json.dumps(commit, indent=2) + "\n", encoding="utf-8")
            _rename(folder / COMMIT, target / COMMIT)
    count = "1 part" if len(done) == 1 else f"{len(done):,} parts"
    kept = sum(part.is_kept for part in done)
    finished = f", {kept:,} of them before this run" if kept else ""
    return f"{rows:,} rows of {count} predicted{finished}, {sum(part.warnings for part in done):,} warnings"


def predict_part(predictor: Predictor, part: Part) -> Finished:
    """Write the predictions of a part, unless they are there."""
    before = part.rows.stat()
    notes = {PART_MD5: md5(part.rows), MODEL_MD5: md5(predictor.folder / MANIFEST)}
    if is_kept := _is_finished(part.predictions, notes):
        warnings = 0
    else:
        # A unique name, because a cluster may run a part twice if a worker is out of reach for a while.
        unfinished = part.unfinished / f"{uuid.uuid4().hex}-{part.predictions.name}"
        warnings = _predict(predictor, part.rows, before, unfinished, notes)
        _rename(unfinished, part.predictions)
    return Finished(pq.read_metadata(part.predictions).num_rows, notes[PART_MD5], warnings, is_kept)


def _rename(unfinished: Path, path: Path) -> None:
    """Give a file its name, once its content is on disk."""
    with unfinished.open("rb+") as file:
        os.fsync(file.fileno())
    unfinished.replace(path)


@contextlib.contextmanager
def _folder_of_run(target: Path) -> Iterator[Path]:
    """A folder for unfinished files. When it is removed, a worker that still writes can no longer rename its file."""
    folder = target / f"{UNFINISHED}{uuid.uuid4().hex}"
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _outputs(source: Path) -> dict[str, Path]:
    """The parts in the order of their names, each by the name of its predictions."""
    parts = sorted(path for path in source.iterdir() if not path.name.startswith((".", "_")))
    if wrong := [path.name for path in parts if not path.is_file() or not is_table(path)]:
        raise ValueError(
            f"{source}: expected only parts in {', '.join(TEXTS)} or .parquet, received {', '.join(wrong[:5])}: "
            f"move them away, or begin their names with '_'"
        )
    if not parts:
        raise ValueError(f"{source}: expected parts in {', '.join(TEXTS)} or .parquet, received a folder without any")
    outputs = {path.name if path.suffix == ".parquet" else f"{path.name}.parquet": path for path in parts}
    if len(outputs) < len(parts):
        raise ValueError(f"{source}: expected a name of its own for each part, received one in text and in Parquet")
    return outputs


def _refuse_others(target: Path, outputs: dict[str, Path]) -> None:
    """Remove unfinished files of an earlier run; refuse a file that would be read as predictions of these parts."""
    for path in sorted(target.iterdir()):
        if path.name.startswith(UNFINISHED):
            shutil.rmtree(path)
        elif path.name not in outputs and not path.name.startswith((".", "_")):
            raise ValueError(
                f"{path}: expected only predictions of the parts of IN: delete it, or name another folder for OUT"
            )


def _is_finished(path: Path, notes: dict[str, str]) -> bool:
    """Whether a file has the predictions of the same rows by the same model."""
    try:
        written = pq.read_schema(path).metadata or {}
    except (OSError, pa.ArrowException):
        return False
    return all(written.get(key.encode()) == value.encode() for key, value in notes.items())


def _predict(predictor: Predictor, rows: Path, before: os.stat_result, target: Path, notes: dict[str, str]) -> int:
    """Write the predictions of a part; returns the number of warnings.

    Args:
        before: the state of the part when its hash was taken.
    """
    try:
        warnings = predict_rows(predictor, rows, target, notes).warnings
    except Problem as problem:
        raise Problem(problem.status, f"{rows.name}: {problem.detail}", problem.errors) from None
    except (ValueError, pa.ArrowException) as error:
        raise ValueError(f"{rows.name} cannot be read: {error}") from None
    after = rows.stat()
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise ValueError(f"{rows.name} changed while it was read: run again when it is complete")
    return warnings
