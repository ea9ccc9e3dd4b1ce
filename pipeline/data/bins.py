"""Interval edges for the encodings of numbers, fitted on train rows."""

import numpy as np

MIN_LEAF_ROWS = 50  # rows in an interval of a tree; a tenth of all rows if that is less


def quantiles(values: np.ndarray, n: int) -> tuple[float, ...]:
    """`n` + 1 quantiles, evenly spaced in rank, without repeated values; at least two edges."""
    return _distinct_edges(np.quantile(values, np.linspace(0, 1, n + 1)))


def tree_bins(values: np.ndarray, target: np.ndarray, n: int, classes: bool) -> tuple[float, ...]:
    """Edges of at most `n` intervals: the thresholds of a decision tree over this feature alone (Gorishniy et al.,
    2022, arXiv 2203.05556).

    Args:
        values: shape (n_rows,), without missing values.
        target: shape (n_rows,), or (n_rows, n_outputs).
        classes: whether the target holds class codes rather than numbers.
    """
    from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

    kind = DecisionTreeClassifier if classes else DecisionTreeRegressor
    leaf = max(1, min(MIN_LEAF_ROWS, len(values) // 10))
    tree = kind(max_leaf_nodes=max(2, n), min_samples_leaf=leaf, random_state=0).fit(values[:, None], target).tree_
    thresholds = tree.threshold[tree.feature >= 0] if n > 1 else []
    return _distinct_edges(np.array([values.min(), *thresholds, values.max()]))


def _distinct_edges(values: np.ndarray) -> tuple[float, ...]:
    # Distinct in float32, in which the network computes.
    edges = np.unique(values.astype(np.float32)).astype(np.float64)
    return tuple(edges.tolist()) if len(edges) > 1 else (float(edges[0]), float(edges[0]) + 1.0)
