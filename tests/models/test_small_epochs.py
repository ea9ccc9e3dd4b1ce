"""What makes the epochs of a small table short: weights swapped in one call, and no partial batch for members."""

import keras
import numpy as np
import pytest

from models.training import optimizers
from models.training.epoch import EpochTrainer
from models.training.fit import fit

LOSS = {"monitor": "log_loss", "higher_is_better": False}


@pytest.fixture(scope="module")
def flowers(data_of):
    return data_of("multiclass")


def test_averaged_weights_are_those_of_keras_own_callback(spec_of, flowers, monkeypatch: pytest.MonkeyPatch) -> None:
    schema, split = flowers

    def trained():
        return fit(spec_of(ema=0.8), schema, split, split, epochs=4, patience=4, seed=0, **LOSS)

    ours = trained()
    monkeypatch.setattr(optimizers, "SwapAverages", keras.callbacks.SwapEMAWeights)
    theirs = trained()
    for name in ("loss", "val_log_loss"):
        np.testing.assert_allclose(ours.history[name], theirs.history[name], rtol=1e-4)
    for mine, other in zip(ours.network.get_weights(), theirs.network.get_weights(), strict=True):
        np.testing.assert_allclose(mine, other, atol=1e-4)
    without = fit(spec_of(), schema, split, split, epochs=4, patience=4, seed=0, **LOSS)
    assert not np.allclose(without.history["val_log_loss"], ours.history["val_log_loss"], rtol=1e-2)


@pytest.mark.parametrize(
    ("changes", "batches"),
    [
        ({"members": 4, "members_per_row": 2}, {36}),  # 96 rows: two full batches, and one filled up with 12 rows
        ({"members": 4, "members_per_row": 2, "batch_size": 32}, {32}),
        ({"members": 4, "members_per_row": 2, "batch_size": 128}, {96}),
        ({"members": 4}, {36, 24}),
    ],
)
def test_rows_that_are_dealt_to_members_come_in_full_batches(
    spec_of, flowers, monkeypatch: pytest.MonkeyPatch, changes: dict, batches: set[int]
) -> None:
    schema, split = flowers
    seen, call = set(), EpochTrainer.call

    def call_and_note(trainer, features, training=None):
        if training:
            seen.add(features.shape[0])
        return call(trainer, features, training)

    monkeypatch.setattr(EpochTrainer, "call", call_and_note)
    spec = spec_of(**{"family": "ensemble", "batch_size": 36, **changes})
    history = fit(spec, schema, split, split, epochs=3, patience=3, seed=0, **LOSS).history
    assert seen == batches
    assert history["val_loss"][-1] < history["val_loss"][0]
