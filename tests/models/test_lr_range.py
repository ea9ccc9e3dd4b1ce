"""The learning rate range test suggests a rate with which a network learns."""

import numpy as np

from models.training.fit import fit
from models.training.lr_range import DIVISOR, lr_range, suggestion


def test_a_network_learns_with_the_suggested_rate(spec_of, data_of):
    schema, split = data_of("multiclass")
    rates, losses = lr_range(spec_of(), schema, split, seed=0)
    assert len(rates) == len(losses)
    rate = suggestion(rates, losses)
    assert rate * DIVISOR == rates[np.argmin(losses)]
    spec = spec_of(learning_rate=rate)
    history = fit(
        spec, schema, split, split, monitor="log_loss", higher_is_better=False, epochs=10, patience=10, seed=0
    )
    assert history.history["val_loss"][-1] < 0.8 * history.history["val_loss"][0]


def test_the_suggestion_is_a_tenth_of_the_rate_of_the_lowest_loss():
    assert suggestion(np.array([0.1, 1.0, 10.0]), np.array([2.0, 1.0, 5.0])) == 0.1


def test_the_suggestion_is_the_rate_of_the_steepest_fall_where_no_rate_is_too_high():
    rates = np.array([0.001, 0.01, 0.1, 1.0, 10.0, 100.0])
    assert suggestion(rates, np.array([2.0, 1.8, 0.2, 0.1, 0.0, 0.01])) == 0.01
    assert suggestion(rates[:1], np.array([2.0])) == 0.0001
