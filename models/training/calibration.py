"""Calibrated probabilities: a scale, and a shift for labels, inside the output layer. The reasons are in
docs/decisions/0032-calibration.md.
"""

import keras
import numpy as np
from scipy.optimize import minimize, minimize_scalar
from scipy.special import log_softmax, logit, logsumexp, stdtrit

from contracts.bundle import Calibration
from models.network.average import Average
from models.network.build import MAIN
from models.network.ensemble import Ensemble
from models.training.export import inference_model

FOLDS, SEED, CONFIDENCE = 5, 0, 0.95
SMALLEST = float(np.finfo(np.float32).eps)  # smallest distance of a probability from 0 and 1, as in the metric
LIMIT = 3.0  # limits of the logarithm of a scale
ROWS = 4096  # rows that are predicted at a time
UNCHANGED = (1.0, 0.0)
LEAST_WORSE = 10  # rows that a calibration must make worse before it is kept


def member_probabilities(network: keras.Model, rows: np.ndarray) -> np.ndarray:
    """Probabilities of shape (n_rows, members, n_outputs); a network without members counts as its only member."""
    network = inference_model(network)
    if isinstance(network, Average):
        return np.concatenate([member_probabilities(one, rows) for one in network.networks], axis=1)

    def predict(part: np.ndarray) -> np.ndarray:
        if isinstance(network, Ensemble):
            return np.asarray(network.end(network.heads(network.trunk(part, training=False))))
        return np.asarray(network(part, training=False))[:, None]

    return np.concatenate([predict(np.array(rows[first : first + ROWS])) for first in range(0, len(rows), ROWS)])


def member_weights(network: keras.Model) -> np.ndarray:
    """The share of each member in the prediction, shape (members,)."""
    if isinstance(network, Average):
        parts = zip(network.shares, network.networks, strict=True)
        return np.concatenate([share * member_weights(one) for share, one in parts])
    members = network.members if isinstance(network, Ensemble) else 1
    return np.full(members, 1 / members)


def predict(network: keras.Model, rows: np.ndarray) -> np.ndarray:
    """Predictions of shape (n_rows, n_outputs), float32, for any number of rows."""
    members = member_probabilities(network, rows)
    return np.average(members, axis=1, weights=member_weights(network)).astype(np.float32)


def fit_calibration(members: np.ndarray, y: np.ndarray, weights: np.ndarray | None = None) -> Calibration | None:
    """Temperature scaling for classes (Guo et al., 2017, arXiv 1706.04599), Platt's scale and shift for a binary
    target and each label, where they help; None where none helps.

    Args:
        members: probabilities of rows that the network was not trained on, as `member_probabilities` gives them.
        y: class codes of shape (n_rows,), or 0 and 1 of shape (n_rows, n_labels).
        weights: of the members, as `member_weights` gives them; None for equal ones.
    """
    weights = np.full(members.shape[1], 1 / members.shape[1]) if weights is None else weights
    if members.shape[2] == 1 or y.ndim == 2:
        y = y.reshape(len(y), -1)
        logits = logit(np.clip(members.astype(np.float64), SMALLEST, 1 - SMALLEST))
        tried = [_calibrated(logits[:, :, [label]], weights, y[:, [label]]) for label in range(y.shape[1])]
    else:
        tried = [_calibrated(np.log(np.maximum(members.astype(np.float64), np.finfo(np.float32).tiny)), weights, y)]
    if all(one == UNCHANGED for one, _, _ in tried):
        return None
    values, before, after = zip(*tried, strict=True)
    scale, shift = zip(*values, strict=True)
    return Calibration(
        scale=scale, shift=shift, log_loss_before=float(np.mean(before)), log_loss_cross_fitted=float(np.mean(after))
    )


def _calibrated(logits: np.ndarray, weights: np.ndarray, y: np.ndarray) -> tuple[tuple[float, float], float, float]:
    """Scale and shift, `UNCHANGED` if they do not help beyond noise; the log loss before, and cross-fitted. Some rows
    must become worse: without errors, nothing shows the cost of more certainty.
    """
    fold = np.random.default_rng(SEED).permutation(len(y)) % FOLDS
    before, after = _losses(logits, weights, y, *UNCHANGED), np.empty(len(y))
    for held_out in (fold == number for number in range(FOLDS)):
        fitted = _fit(logits[~held_out], weights, y[~held_out])
        after[held_out] = _losses(logits[held_out], weights, y[held_out], *fitted)
    gain = before - after
    if np.sum(gain < 0) >= LEAST_WORSE:
        noise = stdtrit(len(y) - 1, CONFIDENCE) * gain.std(ddof=1) / np.sqrt(len(y))
        if gain.mean() > noise:
            return _fit(logits, weights, y), float(before.mean()), float(after.mean())
    return UNCHANGED, float(before.mean()), float(before.mean())


def apply_calibration(network: keras.Model, calibration: Calibration) -> None:
    """Change the weights of the output layer, so that the graph stays the same."""
    scale, shift = np.array(calibration.scale, np.float32), np.array(calibration.shift, np.float32)
    for head in _output_layers(network):
        kernel, bias = head.get_weights()
        head.set_weights([kernel * scale, bias * scale + shift])


def _output_layers(network: keras.Model) -> list[keras.layers.Layer]:
    if isinstance(network, Average):
        return [layer for one in network.networks for layer in _output_layers(one)]
    if isinstance(network, Ensemble):
        return [network.heads]
    return [layer for layer in network._flatten_layers(include_self=False) if layer.name == f"{MAIN}_raw"]


def _fit(logits: np.ndarray, weights: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """The scale and the shift with the least log loss; classes have no shift."""
    if y.ndim == 1:
        found = minimize_scalar(
            lambda log_scale: _losses(logits, weights, y, np.exp(log_scale), 0.0).mean(),
            bounds=(-LIMIT, LIMIT), method="bounded",
        )  # fmt: skip
        return float(np.exp(found.x)), 0.0
    if not len(y) or y.min() == y.max():
        return UNCHANGED  # the shift has no limit if all rows have the same label
    found = minimize(
        lambda values: _losses(logits, weights, y, np.exp(values[0]), values[1]).mean(),
        np.zeros(2), bounds=[(-LIMIT, LIMIT), (-20, 20)], method="L-BFGS-B",
    )  # fmt: skip
    return float(np.exp(found.x[0])), float(found.x[1])


def _losses(logits: np.ndarray, weights: np.ndarray, y: np.ndarray, scale: float, shift: float) -> np.ndarray:
    """The log loss of each row, of the weighted mean over the members, for classes or for one label."""
    z = logits * scale + shift
    if y.ndim == 1:
        of_truth = log_softmax(z, axis=2)[np.arange(len(y)), :, y]
    else:
        of_truth = -np.logaddexp(0, np.where(y[:, None] == 1, -z, z))[:, :, 0]
    return -np.maximum(logsumexp(of_truth, axis=1, b=weights), np.log(SMALLEST))
