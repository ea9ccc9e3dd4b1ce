"""Choices of the data where a search space leaves them open: batch size, encoding of numbers, scale of the target."""

from typing import Any

from contracts.metrics import Metric
from contracts.schema import NumericFeature, Schema
from contracts.settings.space import Choices, SearchSpace
from models.search.plan import batch_size_for

# Piecewise-linear intervals with a learned layer after them: the best MLP for tables of Gorishniy et al. (2022, arXiv
# 2203.05556).
EMBEDDING = 16


def complete(space: SearchSpace, schema: Schema, n_rows: int, metric: Metric) -> SearchSpace:
    """The space, completed by the hyperparameters that it does not name.

    Args:
        n_rows: of the train rows.
        metric: of the search. A skewed target is tried first on the scale on which the metric judges.
    """
    found: dict[str, Any] = {"batch_size": batch_size_for(n_rows)}
    numbers = [] if schema.image else [column for column in schema.inputs if isinstance(column, NumericFeature)]
    if not {"numeric", "numeric_embedding"} & space.keys() and numbers and all(c.tree_bins for c in numbers):
        encodings = Choices(type="categorical", choices=("piecewise", "standardise"))
        found |= {"numeric": encodings, "numeric_embedding": EMBEDDING}
    targets = schema.numbers
    if space.get("output", "auto") in ("auto", "linear") and any(target.skewed for target in targets):
        first = "log" if metric.of_ratios else "plain"
        scale = Choices(type="categorical", choices=("log", "plain"), default=first)
        found |= {} if any(target.log is None for target in targets) else {"target_scale": scale}
    return {**found, **space}
