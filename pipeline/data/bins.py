"""Edges of intervals for the encodings of numbers, fitted on train rows alone."""

import numpy as np

LEAF = 50  # rows in an interval at least, or a tenth of all rows where that is less


def quantiles(values: np.ndarray, n: int) -> tuple[float, ...]:
    """`n` + 1 quantiles, evenly spaced in rank, each value once; two edges at least."""
    return _edges(np.quantile(values, np.linspace(0, 1, n + 1)))


def tree_bins(values: np.ndarray, target: np.ndarray, n: int, classes: bool) -> tuple[float, ...]:
    """Edges of at most `n` intervals in which the target differs: the splits of a decision tree over this one
    feature (Gorishniy et al., 2022, arXiv 2203.05556).

    Args:
        values: shape (n_rows,), none missing.
        target: shape (n_rows,), or (n_rows, n_outputs).
        classes: whether the target names classes rather than amounts.
    """
    from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

    kind = DecisionTreeClassifier if classes else DecisionTreeRegressor
    leaf = max(1, min(LEAF, len(values) // 10))
    tree = kind(max_leaf_nodes=max(2, n), min_samples_leaf=leaf, random_state=0).fit(values[:, None], target).tree_
    inner = tree.threshold[tree.feature >= 0] if n > 1 else []
    return _edges(np.array([values.min(), *inner, values.max()]))


def _edges(values: np.ndarray) -> tuple[float, ...]:
    # Apart in 32 bits too, which is what the graph computes in.
    edges = np.unique(values.astype(np.float32)).astype(np.float64)
    return tuple(edges.tolist()) if len(edges) > 1 else (float(edges[0]), float(edges[0]) + 1.0)
