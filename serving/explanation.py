"""Which features move a prediction away from the mean prediction: Shapley values, of many features by sampling.

A coalition of features has the row's values, the others have those of a background row. The mean gain of a feature
over random orders is its Shapley value (Štrumbelj and Kononenko, 2014). Each order is also taken backwards, which
lessens the error (Mitchell et al., 2022). The gains of an order add up to the difference between row and background
row, so that the contributions add up exactly to the difference between the answer and the mean over the background.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from contracts.schema import Schema, columns_of

PREDICTIONS = 8192  # most predictions for one explanation, in one call of the model; more if there are many features
WORK = 2.5e9  # multiplications for the predictions of one explanation
TILES = 7  # tiles on the longer side of an image; a smaller tile alone changes nothing


class Contributions(NamedTuple):
    """The mean of the predictions for the background, shape (n_outputs,), and the contribution of each feature, shape
    (n_features, n_outputs).
    """

    mean: np.ndarray
    values: np.ndarray


def explain(
    predict: Callable[[np.ndarray], np.ndarray], row: np.ndarray, background: np.ndarray, feature_of: np.ndarray,
    work: float = 0.0,
) -> Contributions:  # fmt: skip
    """Explain one row.

    Args:
        predict: encoded rows of shape (n, width) to predictions of shape (n, n_outputs); may raise to end it.
        row: shape (width,).
        background: shape (n_background, width).
        feature_of: the feature that each column belongs to, shape (width,).
        work: multiplications for one prediction: a large network has fewer predictions, so that none takes long.
    """
    n = int(feature_of.max()) + 1
    most = min(PREDICTIONS, int(WORK / max(work, 1)))
    if 2**n * len(background) <= most:
        return _exact(predict, row, background, feature_of, n)
    pairs = max(1, most // (2 * len(background) * (n + 1)))
    generator = np.random.default_rng(0)  # the same row gets the same explanation
    orders = generator.permuted(np.tile(np.arange(n), (pairs * len(background), 1)), axis=1)
    orders = np.concatenate([orders, orders[:, ::-1]])
    others = np.tile(background, (2 * pairs, 1))
    step = max(1, PREDICTIONS // (n + 1))
    totals, starts = [], []
    for first in range(0, len(orders), step):
        place = np.argsort(orders[first : first + step], axis=1)  # the position of each feature in its order
        joined = place[:, None, :] < np.arange(n + 1)[None, :, None]  # (orders, coalitions, features)
        rows = np.where(joined[:, :, feature_of], row, others[first : first + step, None, :])
        predicted = predict(rows.reshape(-1, len(row)).astype(np.float32)).astype(np.float64)
        predicted = predicted.reshape(len(place), n + 1, -1)
        gains = np.diff(predicted, axis=1)
        totals.append(np.take_along_axis(gains, place[:, :, None], axis=1).sum(axis=0))
        starts.append(predicted[:, 0])
    return Contributions(np.concatenate(starts).mean(axis=0), np.sum(totals, axis=0) / len(orders))


def _exact(
    predict: Callable[[np.ndarray], np.ndarray], row: np.ndarray, background: np.ndarray, feature_of: np.ndarray, n: int
) -> Contributions:
    """Exact values for few features: the mean gain over every coalition, weighted by the number of orders with this
    coalition.
    """
    numbers = np.arange(2**n)
    joined = (numbers[:, None] >> np.arange(n)) & 1 == 1
    rows = np.where(joined[:, None, feature_of], row, background)
    values = predict(rows.reshape(-1, len(row)).astype(np.float32)).astype(np.float64)
    values = values.reshape(len(numbers), len(background), -1).mean(axis=1)
    sizes = joined.sum(axis=1)
    weights = np.array([1 / (n * math.comb(n - 1, size)) for size in range(n)])
    gains = []
    for feature in range(n):
        without = numbers[~joined[:, feature]]
        gains.append(weights[sizes[without]] @ (values[without + 2**feature] - values[without]))
    return Contributions(values[0], np.array(gains))


def features_of_columns(schema: Schema) -> np.ndarray:
    """The feature that each column of an encoded row belongs to: a date has several columns."""
    return np.repeat(np.arange(len(schema.features)), [len(columns_of(feature)) for feature in schema.features])


def occlusion(
    predict: Callable[[np.ndarray], np.ndarray], row: np.ndarray, height: int, width: int, grey: float
) -> np.ndarray:
    """How much the prediction falls if a tile of an image is grey, shape (tiles down, tiles across, n_outputs).

    After Zeiler and Fergus (2014).
    """
    tiles = tiles_of(height, width)
    hidden = tiles.reshape(-1) == np.arange(tiles.max() + 1)[:, None]
    rows = np.concatenate([row[None], np.where(hidden, grey, row)]).astype(np.float32)
    predicted = predict(rows).astype(np.float64)
    across = int(tiles[0].max()) + 1
    return (predicted[0] - predicted[1:]).reshape(len(hidden) // across, across, -1)


def tiles_of(height: int, width: int) -> np.ndarray:
    """The square tile that each pixel of an image belongs to, row by row from 0, shape (height, width)."""
    side = -(-max(height, width) // TILES)
    across = -(-width // side)
    return np.arange(height)[:, None] // side * across + np.arange(width)[None, :] // side
