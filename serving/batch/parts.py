"""Predictions for a folder of parts: one Parquet file a part, and a commit file once all parts are there.

A run that ends early is begun again: a finished part stays if its rows and the model are the same.
"""

import json
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from contracts.bundle import MANIFEST
from contracts.files import md5, unfinished_path, write_atomically
from serving.batch.file import is_table, only_run, open_predictor, predict_rows
from serving.errors import Problem
from serving.predictor import Predictor

COMMIT = "_predictions.json"  # readers of Parquet folders leave out names that begin so
PART_MD5, MODEL_MD5 = "part_md5", "model_md5"  # in the metadata of a part's predictions


def predict_parts(bundle: Path, source: Path, target: Path) -> str:
    """Write the predictions for every part of a folder; returns what was done, in words.

    Raises:
        Problem: the errors of the first invalid part. The parts before it stay.
        ValueError: the folders cannot be input and output, or a part cannot be read.
    """
    predictor, model = open_predictor(bundle), md5(bundle / MANIFEST)
    outputs = _outputs(source)
    target.mkdir(parents=True, exist_ok=True)
    if target.samefile(source):
        raise ValueError(f"OUT: expected another folder than IN, received {target}")
    with only_run(target, os.open(target, os.O_RDONLY)):
        _refuse_others(target, outputs)
        (target / COMMIT).unlink(missing_ok=True)
        done, kept, warnings = [], 0, 0
        for name, part in outputs.items():
            before = part.stat()
            notes = {PART_MD5: md5(part), MODEL_MD5: model}
            if _is_finished(target / name, notes):
                kept += 1
            else:
                warnings += _predict_part(predictor, part, before, target / name, notes)
            rows = pq.read_metadata(target / name).num_rows
            done.append({"part": part.name, "predictions": name, "rows": rows, "md5": notes[PART_MD5]})
        n_rows = sum(entry["rows"] for entry in done)
        with write_atomically(target / COMMIT) as unfinished:
            commit = {"rows": n_rows, MODEL_MD5: model, "parts": done}
            unfinished.write_text(json.dumps(commit, indent=2) + "\n", encoding="utf-8")
    parts = "1 part" if len(done) == 1 else f"{len(done):,} parts"
    finished = f", {kept:,} of them before this run" if kept else ""
    return f"{n_rows:,} rows of {parts} predicted{finished}, {warnings:,} warnings"


def _outputs(source: Path) -> dict[str, Path]:
    """The parts in the order of their names, each by the name of its predictions."""
    parts = sorted(path for path in source.iterdir() if not path.name.startswith((".", "_")))
    if wrong := [path.name for path in parts if not path.is_file() or not is_table(path)]:
        raise ValueError(
            f"{source}: expected only parts in .csv or .parquet, received {', '.join(wrong[:5])}: "
            f"move them away, or begin their names with '_'"
        )
    if not parts:
        raise ValueError(f"{source}: expected parts in .csv or .parquet, received a folder without any")
    outputs = {path.name if path.suffix == ".parquet" else f"{path.name}.parquet": path for path in parts}
    if len(outputs) < len(parts):
        raise ValueError(f"{source}: expected a name of its own for each part, received one in text and in Parquet")
    return outputs


def _refuse_others(target: Path, outputs: dict[str, Path]) -> None:
    """Remove what a run left unfinished; refuse a file that would be read as predictions of these parts."""
    unfinished = {unfinished_path(target / name).name for name in (*outputs, COMMIT)}
    for path in sorted(target.iterdir()):
        if path.name in unfinished:
            path.unlink()
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


def _predict_part(predictor: Predictor, part: Path, before: os.stat_result, target: Path, notes: dict[str, str]) -> int:
    """Write the predictions of a part; returns the number of warnings.

    Args:
        before: the state of the part when its hash was taken.
    """
    try:
        warnings = predict_rows(predictor, part, target, notes).warnings
    except Problem as problem:
        raise Problem(problem.status, f"{part.name}: {problem.detail}", problem.errors) from None
    except (ValueError, pa.ArrowException) as error:
        raise ValueError(f"{part.name} cannot be read: {error}") from None
    after = part.stat()
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        target.unlink()
        raise ValueError(f"{part.name} changed while it was read: run again when it is complete")
    return warnings
