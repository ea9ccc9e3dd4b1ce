"""All warnings about a dataset, the worst first."""

from collections.abc import Mapping, Sequence

import numpy as np

from contracts.schema import ClassTarget, LabelsTarget, Schema
from pipeline.data_report.columns import Column
from pipeline.data_report.findings import of_columns, of_splits, of_target
from pipeline.data_report.findings.finding import Finding


def find(
    schema: Schema,
    columns: Sequence[Column],
    strength: Mapping[str, float],
    target: Mapping[str, np.ndarray],
    rows: Mapping[str, int],
) -> list[Finding]:
    """Every warning, the worst first.

    Args:
        strength: the share of the target that each feature explains.
        target: of each part, as text.
        rows: the number of rows of each part; the columns may hold a sample of them.
    """
    is_class = isinstance(schema.target, ClassTarget | LabelsTarget)
    return [
        *of_target.leakage(strength, is_class),
        *of_splits.copies(columns, target),
        *of_columns.mixed_types(columns),
        *of_splits.drift(columns),
        *of_target.too_few_rows(schema, rows),
        *of_target.imbalance(schema),
        *of_columns.identifiers(columns, dict(strength)),
        *of_columns.outliers(columns),
        *of_columns.missing(columns),
        *of_columns.many_categories(columns),
        *of_columns.constants(columns),
        *of_columns.sensitive_names(columns),
    ]
