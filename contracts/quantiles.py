"""Quantiles of a number: the outputs of a network as metrics take them.

The reasons are in docs/decisions/0035-quantiles.md.
"""

import numpy as np

from contracts.encoding import predictions_of
from contracts.metrics import Metric
from contracts.schema import Schema
from contracts.thresholds import metric_input


def with_levels(schema: Schema, outputs: np.ndarray) -> np.ndarray | None:
    """Each quantile beside its level: (n_rows, n_levels) → (n_rows, n_levels, 2); None where there are no quantiles."""
    if not schema.levels:
        return None
    return np.stack([outputs, np.broadcast_to(np.array(schema.levels, outputs.dtype), outputs.shape)], axis=2)


def judged(metric: Metric, schema: Schema, outputs: np.ndarray) -> np.ndarray:
    """The outputs of a network as a metric takes them, without a threshold."""
    return metric_input(metric, predictions_of(schema, outputs), None, with_levels(schema, outputs))
