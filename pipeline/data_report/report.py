"""The data report as one HTML file: the contents of a dataset, and warnings before a training."""

import errno
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from jinja2 import Environment, FileSystemLoader

from contracts.encoding import encode_target
from contracts.schema import ClassTarget, Schema
from pipeline.data_report import charts
from pipeline.data_report.columns import Column, read_columns
from pipeline.data_report.correlation import correlate
from pipeline.data_report.findings.every import find
from pipeline.data_report.findings.finding import Finding
from pipeline.data_report.groups import by_rank
from pipeline.data_report.images import examples
from pipeline.data_report.relation import FOLDS, explained, in_the_same_order, outcomes_of
from pipeline.tables import TARGET

MOST_ROWS = 20_000  # train rows for relations and correlations; more rows cost time and show no more
MOST_CARDS = 200
GROUPS, ROWS_PER_GROUP = 64, 20  # fewest train rows for the share that a column explains
HERE = Path(__file__).parent


def write_report(
    path: Path, schema: Schema, parts: Mapping[str, pa.Table], seed: int, rows: Mapping[str, int] | None = None
) -> list[Finding]:
    """Write the report, and return its warnings, the worst first.

    If the report fails, the page says so and a warning is printed, because training does not need it.

    Args:
        parts: the rows of train, validation and the last part, which is only compared with train.
        seed: of the sample of train rows, and of the folds.
        rows: how many rows each part has, where `parts` holds a sample of them.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        page, findings = _make(schema, parts, seed, rows or {part: len(table) for part, table in parts.items()})
    except Exception as error:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        print(f"  {schema.dataset}: warning: the data report could not be made: {reason}", file=sys.stderr)
        page, findings = _render("failure.html", dataset=schema.dataset, reason=reason), []
    path.write_text(page, encoding="utf-8")
    return findings


def _make(
    schema: Schema, parts: Mapping[str, pa.Table], seed: int, rows: Mapping[str, int]
) -> tuple[str, list[Finding]]:
    train = next(iter(parts.values()))
    columns = [] if schema.image is not None else read_columns(schema, parts)
    sample = np.arange(len(train))
    if len(train) > MOST_ROWS:
        sample = np.sort(np.random.default_rng(seed).choice(len(train), MOST_ROWS, replace=False))
    target = train[TARGET].take(sample).to_pylist()
    strength = _strengths(schema, columns, sample, target, seed)
    texts = {part: pd.Series(table[TARGET].to_pylist()).astype(str).to_numpy() for part, table in parts.items()}
    findings = find(schema, columns, strength, texts, rows)
    names, values = _lines(schema, train[TARGET].to_pylist())
    lines = charts.Lines(values)
    sampled = f"; a sample of {MOST_ROWS:,}" if len(sample) < len(train) else ""
    page = _render(
        "page.html",
        schema=schema, rows=rows, read={part: len(table) for part, table in parts.items()},
        findings=findings,
        targets=_targets(schema, parts), lines=names, fewest=charts.FEWEST, sampled=sampled, folds=FOLDS,
        cards=[_card(column, lines, strength, number < MOST_CARDS) for number, column in enumerate(columns)],
        examples=examples(schema, train, seed) if schema.image is not None else [],
        correlations=correlate(columns, sample),
    )  # fmt: skip
    return page, findings


def _render(template: str, **values: Any) -> str:
    pages = Environment(loader=FileSystemLoader(HERE), autoescape=True, trim_blocks=True, lstrip_blocks=True)
    return pages.get_template(template).render(style=(HERE / "page.css").read_text(encoding="utf-8"), **values)


def _strengths(
    schema: Schema, columns: Sequence[Column], sample: np.ndarray, target: list, seed: int
) -> dict[str, float]:
    """How much of the target each feature explains; of several targets the one that it explains best."""
    outcomes = outcomes_of(schema, target)
    most = max(2, min(GROUPS, len(sample) // ROWS_PER_GROUP))
    found = {}
    for column in columns:
        if column.is_feature:
            codes = by_rank(column, most).codes(column.train[sample])
            shares = [explained(codes, outcome, seed) for outcome in outcomes]
            if column.kind == "number":
                shares += [in_the_same_order(column.train[sample], outcome) for outcome in outcomes]
            found[column.name] = max(shares)
    return found


def _lines(schema: Schema, target: list) -> tuple[list[str], np.ndarray]:
    """Names and values of the target's lines: a number, the second of two classes, or each class."""
    encoded = encode_target(schema, target)
    if not isinstance(schema.target, ClassTarget):
        values = encoded.reshape(len(encoded), -1)[:, : charts.LINES].astype(float)
        names = [f"mean of {name}" if not schema.classes else f"share of {name}" for name in schema.outputs]
        return names[: charts.LINES], values
    codes = np.argsort(-np.asarray(schema.target.frequencies), kind="stable")[: charts.LINES]
    codes = np.array([1]) if len(schema.classes) == 2 else codes
    return [f"share of {schema.classes[code]}" for code in codes], (encoded[:, None] == codes).astype(float)


def _targets(schema: Schema, parts: Mapping[str, pa.Table]) -> list[dict[str, Any]]:
    """The distribution of each target in train and validation; the target of the test rows is not read."""
    frames = {}
    for part, table in list(parts.items())[:2]:
        frame = pd.DataFrame({schema.target.name: table[TARGET].to_pylist()})
        is_struct = pa.types.is_struct(table[TARGET].type)
        frames[part] = pd.DataFrame(list(frame.iloc[:, 0])) if is_struct else frame
    charted = []
    for name in next(iter(frames.values())):
        values = {part: frame[name].to_numpy(object if schema.classes else float) for part, frame in frames.items()}
        values = {part: np.array([str(v) for v in of_part], object) if schema.classes else of_part
                  for part, of_part in values.items()}  # fmt: skip
        column = Column(str(name), "category" if schema.classes else "number", "target", "", values)
        charted.append({"name": name, "note": _summary(column), "picture": charts.draw(column)})
    return charted


def _card(column: Column, lines: charts.Lines, strength: Mapping[str, float], drawn: bool) -> dict[str, Any]:
    explains = f"{strength[column.name]:.0%}" if column.name in strength else ""
    shares = list(column.missing.values())
    return {
        "name": column.name,
        "kind": "whole number" if column.kind == "number" and column.whole else column.kind,
        "use": column.role if column.role in ("feature", "weight") else f"left out, {column.role}: {column.reason}",
        "missing": f"{shares[0]:.1%}" if shares[0] else "",
        "different": f"{len(column.counts):,}",
        "typical": _summary(column),
        "explains": explains,
        "note": ", ".join([*([f"explains {explains}"] if explains else []),
                           *([f"{shares[0]:.0%} missing"] if shares[0] else [])]),
        "picture": charts.draw(column, lines) if drawn and column.is_feature and len(column.counts) else None,
    }  # fmt: skip


def _summary(column: Column) -> str:
    if not len(column.counts):
        return ""
    if column.is_number:
        low, middle, high = (charts.number_label(float(v), column) for v in np.nanquantile(column.train, (0, 0.5, 1)))
        return f"{low} … {middle} … {high}"
    names = [str(value) if len(str(value)) <= 24 else str(value)[:23] + "…" for value in column.counts.index[:3]]
    return ", ".join(names) + (", …" if len(column.counts) > 3 else "")
