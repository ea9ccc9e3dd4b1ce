"""Probabilities against the shares that come true, for the report."""

from dataclasses import dataclass

import numpy as np

from contracts.schema import Schema
from pipeline.evaluation.calibration import bins_of, calibration_error, confidences

DRAWS = 300
FEWEST = 40  # probabilities, below which a picture shows chance alone


@dataclass(frozen=True)
class Calibration:
    """Groups of predictions of similar probability: mean probability, share that came true, half of its interval.

    `error` is the expected calibration error, with a 95 % interval.
    """

    predicted: np.ndarray
    actual: np.ndarray
    spread: np.ndarray
    error: float
    low: float
    high: float


def calibration(schema: Schema, y: np.ndarray, predictions: np.ndarray, seed: int) -> Calibration | None:
    """None for numbers, and for few rows."""
    if not schema.classes:
        return None
    promised, happened = confidences(y, predictions)
    if len(promised) < FEWEST:
        return None
    bins = bins_of(promised)
    rows = np.bincount(bins)
    predicted, actual = (np.bincount(bins, weights=values) / rows for values in (promised, happened))
    generator = np.random.default_rng(seed)
    draws = [generator.integers(0, len(y), len(y)) for _ in range(DRAWS)]
    low, high = np.quantile([calibration_error(y[draw], predictions[draw]) for draw in draws], (0.025, 0.975))
    spread = 1.96 * np.sqrt(actual * (1 - actual) / rows)
    return Calibration(predicted, actual, spread, calibration_error(y, predictions), float(low), float(high))
