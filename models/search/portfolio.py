"""Configurations that a search of `space: auto` tries after its first one, before the sampler learns.

They were good on other tables than those of `bench/quality.py`; docs/decisions/0019-networks-for-tables.md names the
tables.
"""

from collections.abc import Iterator
from typing import Any

from contracts.settings.space import Distribution, Range, SearchSpace, contains
from models.search.space import default_configuration

# The differences to the first configuration. Each names the encoding, which other spaces do not have.
PORTFOLIO: tuple[dict[str, Any], ...] = (
    {"numeric": "pbld", "numeric_embedding": 8},
    {"numeric": "piecewise_sum", "learning_rate": 0.002},
    {"numeric": "piecewise_sum", "target_scale": "log"},
)


def portfolio(space: SearchSpace) -> Iterator[dict[str, Any]]:
    """The configurations that a space contains, as Optuna's parameters; none if it does not search the hyperparameters
    that they change.
    """
    first = default_configuration(space)
    for changes in PORTFOLIO:
        configuration = {**first, **changes}
        if configuration != first and all(_has(space.get(name), value) for name, value in changes.items()):
            yield configuration


def _has(entry: Any, value: Any) -> bool:
    if isinstance(entry, Range) and entry.values() is None:
        return entry.low <= value <= entry.high
    return isinstance(entry, Distribution) and contains(entry.values(), value)
