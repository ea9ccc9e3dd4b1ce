"""The features that a model uses, and how: permutation importance and partial dependence, on validation rows."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from contracts.metrics import Metric
from contracts.schema import CategoricalFeature, DateFeature, NumericFeature, Schema
from serving.explanation import features_of_columns, tiles_of

Predict = Callable[[np.ndarray], np.ndarray]
REPEATS, DRAWS, MOST_ROWS = 5, 300, 2000
POINTS, CATEGORIES, ROWS_OF_CURVE = 15, 8, 500


@dataclass(frozen=True)
class Importance:
    """How much worse the metric gets if the values of a feature are shuffled, with a 95 % interval."""

    name: str
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Dependence:
    """The mean prediction if every row had the same value: `x` has these values, numbers or names; `y` has shape
    (n_values, n_outputs).
    """

    name: str
    x: tuple[float, ...] | tuple[str, ...]
    y: np.ndarray


def permutation_importance(
    schema: Schema, predict: Predict, metric: Metric, rows: np.ndarray, y: np.ndarray, seed: int
) -> list[Importance]:
    """The importance of every feature, or of every tile of an image, in order (Breiman, 2001; Fisher, Rudin and
    Dominici, 2019).

    The interval is that of a bootstrap over rows, each with its mean over the shuffles.

    Args:
        rows: encoded, shape (n_rows, schema.input_width); of many rows a sample is used.
    """
    assert metric.row_values is not None
    generator = np.random.default_rng(seed)
    kept = np.sort(generator.permutation(len(rows))[:MOST_ROWS])
    rows, y = rows[kept], y[kept]
    sign = 1.0 if metric.higher_is_better else -1.0
    draws = [generator.integers(0, len(rows), len(rows)) for _ in range(DRAWS)]
    before = metric.row_values(y, predict(rows)).astype(float)
    names, feature_of = _named_columns(schema)
    found = []
    for number, name in enumerate(names):
        columns = np.flatnonzero(feature_of == number)
        after = np.zeros(len(rows))
        for _ in range(REPEATS):
            shuffled = rows.copy()
            shuffled[:, columns] = rows[generator.permutation(len(rows))][:, columns]
            after += metric.row_values(y, predict(shuffled)).astype(float) / REPEATS

        def loss(draw: np.ndarray | slice, after: np.ndarray = after) -> float:
            return sign * (float(metric.of_mean(before[draw].mean())) - float(metric.of_mean(after[draw].mean())))

        low, high = np.quantile([loss(draw) for draw in draws], (0.025, 0.975))
        found.append(Importance(name, loss(slice(None)), float(low), float(high)))
    return found


def _named_columns(schema: Schema) -> tuple[list[str], np.ndarray]:
    """The names of features or tiles that are shuffled as one, and the name to which each encoded column belongs."""
    if schema.image is None:
        return [feature.name for feature in schema.features], features_of_columns(schema)
    tiles = tiles_of(schema.image.height, schema.image.width)
    across = int(tiles[0].max()) + 1
    names = [f"tile {n % across + 1} from the left, {n // across + 1} from the top" for n in range(tiles.max() + 1)]
    return names, tiles.reshape(-1)


def partial_dependence(schema: Schema, predict: Predict, rows: np.ndarray, name: str) -> Dependence | None:
    """The mean prediction for each value of a feature (Friedman, 2001); None for a date."""
    feature = next(f for f in schema.features if f.name == name)
    column = int(np.flatnonzero(features_of_columns(schema) == schema.features.index(feature))[0])
    rows = rows[np.linspace(0, len(rows) - 1, min(len(rows), ROWS_OF_CURVE)).astype(int)]
    x: tuple[float, ...] | tuple[str, ...]
    if isinstance(feature, NumericFeature):
        present = rows[:, column][~np.isnan(rows[:, column])]
        codes = np.unique(np.quantile(present, np.linspace(0.02, 0.98, POINTS))) if len(present) else np.zeros(0)
        x = tuple(codes.tolist())
    elif isinstance(feature, CategoricalFeature):
        x = feature.categories[:CATEGORIES]
        codes = np.arange(1, len(x) + 1)
    else:
        assert isinstance(feature, DateFeature)
        return None
    if len(x) < 2:
        return None
    means = []
    for code in codes:
        changed = rows.copy()
        changed[:, column] = code
        means.append(predict(changed).reshape(len(rows), -1).mean(axis=0))
    return Dependence(name, x, np.array(means))
