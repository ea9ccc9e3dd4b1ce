"""Rules of `select.gates` that do not fit a dataset, found before training."""

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow.parquet as pq

from contracts.encoding import parse_date
from contracts.errors import Problem, nearest, show
from contracts.metrics import task_metrics
from contracts.schema import CategoricalFeature, DateFeature, Feature, NumericFeature, NumericTarget, Schema
from contracts.settings.gates import Case, Gates
from pipeline.evaluation.gates.groups import rows_of
from pipeline.tables import TARGET

KEY = "select.gates"


def gate_problems(gates: Gates, schema: Schema, validation: Path) -> list[Problem]:
    """Every rule that names a metric, a column, a class or rows that the dataset lacks.

    Args:
        validation: the file with the prepared validation rows.
    """
    return [
        *_metric_problems(gates, schema),
        *_group_problems(gates, schema, validation),
        *_behaviour_problems(gates, schema),
        *(problem for number, case in enumerate(gates.cases) for problem in _case_problems(number, case, schema)),
    ]


def _metric_problems(gates: Gates, schema: Schema) -> Iterator[Problem]:
    metrics = {metric.name: metric for metric in task_metrics(schema.task) if schema.levels or not metric.of_quantiles}
    named = [(f"{key}.{name}", name) for key in ("values", "bounds") for name in getattr(gates, key)]
    named += [(f"slices.{number}.metric", group.metric) for number, group in enumerate(gates.slices)]
    for place, name in named:
        if name not in metrics:
            yield _unknown(place, f"a metric of {schema.task}", name, metrics)
    if (worst := gates.worst_slices) is not None:
        of_rows = [name for name, metric in metrics.items() if metric.row_values is not None]
        if worst.metric not in of_rows:
            yield _unknown("worst_slices.metric", "a mean over rows", worst.metric, of_rows)
    if gates.calibration_error is not None and schema.task == "regression":
        yield Problem(f"{KEY}.calibration_error", "null for regression, which has no probabilities", "a number")


def _group_problems(gates: Gates, schema: Schema, validation: Path) -> Iterator[Problem]:
    file = pq.ParquetFile(validation)
    image = schema.image.name if schema.image else None
    columns = [name for name in file.schema_arrow.names if name not in (TARGET, image)]
    for number, group in enumerate(gates.slices):
        if group.column not in columns:
            yield _unknown(f"slices.{number}.column", "a column of the data", group.column, columns)
            continue
        found = int(rows_of(group, file.read([group.column])[group.column].to_pandas()).sum())
        if found < 2:
            rows = f"{found} row" if found == 1 else "none"
            yield Problem(f"{KEY}.slices.{number}", f"at least 2 validation rows with {group}", rows)
    if gates.worst_slices is not None and schema.image is not None:
        yield Problem(f"{KEY}.worst_slices", "null for images, which have no columns", "a rule")


def _behaviour_problems(gates: Gates, schema: Schema) -> Iterator[Problem]:
    numbers = {f.name for f in schema.features if isinstance(f, NumericFeature)}
    ordered = {f.name for f in schema.features if isinstance(f, CategoricalFeature) and f.rank is not None}
    categories = {f.name for f in schema.features if isinstance(f, CategoricalFeature)}
    rules = [(f"invariant.{i}", rule.column, numbers | categories) for i, rule in enumerate(gates.invariant)]
    rules += [(f"monotonic.{i}", rule.column, numbers | ordered) for i, rule in enumerate(gates.monotonic)]
    dropped = {column.name: column for column in schema.dropped}
    for place, column, possible in rules:
        if column in dropped:
            reason = f"{column!r}, which no network learns from: {dropped[column].reason}"
            yield Problem(f"{KEY}.{place}.column", "a feature", reason)
        elif column not in possible:
            kind = "a numeric or categorical feature" if place.startswith("inv") else "a numeric or ordered feature"
            yield _unknown(f"{place}.column", kind, column, [f.name for f in schema.features if f.name in possible])
    for number, rule in enumerate(gates.monotonic):
        if rule.output not in schema.outputs and not (rule.output is None and len(schema.outputs) == 1):
            yield _unknown(f"monotonic.{number}.output", "an output of the model", rule.output, schema.outputs)


def _case_problems(number: int, case: Case, schema: Schema) -> Iterator[Problem]:
    place = f"cases.{number}"
    if schema.image is not None:
        yield Problem(f"{KEY}.{place}", "no cases for images", "one")
        return
    names = [feature.name for feature in schema.features]
    for name in case.row:
        if name not in names:
            yield _unknown(f"{place}.row", "a feature", name, names)
    for feature in schema.features:
        value = case.row.get(feature.name)
        if expected := _misfit(feature, value, schema):
            yield Problem(f"{KEY}.{place}.row.{feature.name}", expected, show(value))
        elif isinstance(feature, CategoricalFeature) and _is_misspelt(feature, value):
            yield _unknown(f"{place}.row.{feature.name}", "a category", value, feature.categories)
    bounds, labels = case.low is not None or case.high is not None, schema.labels
    if schema.task == "regression":
        if not isinstance(schema.target, NumericTarget) or not bounds or case.answer is not None:
            yield Problem(
                f"{KEY}.{place}", "low or high or both, of the one number that is predicted", "another answer"
            )
    elif bounds:
        yield Problem(f"{KEY}.{place}", "an answer, without low and high, which are for numbers", "one of them")
    elif schema.picks_one:
        if not (case.answer in labels or case.answer in schema.classes):
            yield _unknown(f"{place}.answer", "a class", case.answer, schema.classes)
    elif not isinstance(case.answer, list) or not set(case.answer) <= set(schema.classes):
        yield Problem(f"{KEY}.{place}.answer", f"a list of labels ({', '.join(schema.classes)})", show(case.answer))


def _misfit(feature: Feature, value: object, schema: Schema) -> str:
    """What was expected of a value of a case; empty if it fits."""
    if value is None:
        may_be = getattr(feature, "missing", False) or feature.name in schema.missing_elsewhere
        return "" if may_be else "a value, as training saw none missing"
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if isinstance(feature, NumericFeature):
        return "" if is_number else "a number"
    if isinstance(feature, DateFeature):
        with contextlib.suppress(ValueError, OverflowError, TypeError):
            parse_date(value, feature.format)
            return ""
        return f"a date as {feature.format} or ISO 8601"
    return "" if isinstance(value, str) else "text"


def _is_misspelt(feature: CategoricalFeature, value: object) -> bool:
    """Whether a text is nearly a category. Another one counts as an unknown category, which a case may mean."""
    known = value is None or value in feature.categories or feature.rare > 0
    return not known and nearest(value, feature.categories) != ""


def _unknown(place: str, what: str, received: object, known: Iterable[str]) -> Problem:
    known = list(known)
    return Problem(f"{KEY}.{place}", f"{what} ({', '.join(known)})", show(received) + nearest(received, known))
