"""The difference between predicted probabilities and observed frequencies."""

import numpy as np

BINS = 15


def confidences(y: np.ndarray, p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Predicted probabilities and outcomes, each of shape (n,): of the predicted class, and whether it is right; for
    two classes of the second; for labels of each label.

    Args:
        y: codes of shape (n_rows,), or 0 and 1 of shape (n_rows, n_labels).
        p: probabilities of shape (n_rows, n_classes) or (n_rows, n_labels).
    """
    if y.ndim == 2:
        return p.reshape(-1), y.reshape(-1)
    if p.shape[1] == 2:
        return p[:, 1], (y == 1).astype(float)
    return p.max(axis=1), (p.argmax(axis=1) == y).astype(float)


def bins_of(promised: np.ndarray) -> np.ndarray:
    """The bin of each probability; bins have about equal counts, at least ten."""
    ranks = np.argsort(np.argsort(promised, kind="stable"), kind="stable")
    return ranks * max(1, min(BINS, len(promised) // 10)) // len(promised)


def calibration_error(y: np.ndarray, p: np.ndarray) -> float:
    """The expected calibration error (Guo et al., 2017, arXiv 1706.04599), with bins of equal numbers of rows, which
    are less biased than bins of equal width (Nixon et al., 2019, arXiv 1904.01685).
    """
    return _error(*confidences(y, p))


def calibration_interval(
    y: np.ndarray, p: np.ndarray, samples: int, confidence: float, seed: int
) -> tuple[float, float]:
    """The percentile bootstrap of the calibration error over rows."""
    generator = np.random.default_rng(seed)
    draws = (generator.integers(0, len(y), len(y)) for _ in range(samples))
    tail = (1 - confidence) / 2
    low, high = np.quantile([calibration_error(y[rows], p[rows]) for rows in draws], [tail, 1 - tail])
    return float(low), float(high)


def reliability(y: np.ndarray, p: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The mean predicted probability, the observed frequency, and the count of each bin, each of shape (n_bins,)."""
    promised, happened = confidences(y, p)
    bins = bins_of(promised)
    counts = np.bincount(bins)
    return np.bincount(bins, promised) / counts, np.bincount(bins, happened) / counts, counts


def _error(promised: np.ndarray, happened: np.ndarray) -> float:
    bins = bins_of(promised)
    gaps = np.bincount(bins, weights=promised.astype(np.float64) - happened)
    return float(np.abs(gaps).sum() / len(promised))
