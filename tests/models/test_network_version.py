"""Whoever changes the numbers that a network gives raises NETWORK_VERSION, which begins new studies."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest

from contracts.schema import CategoricalFeature, ClassTarget, NumericFeature, Schema
from contracts.spec import NETWORK_VERSION, Spec
from models.network import build
from models.training.data import Split
from models.training.fit import compile_trainer, fit

STORED = Path(__file__).parents[1] / "files/network_version.json"
# Every encoding in one family, and every family: they share the code of the encodings.
NETWORKS = [("sequential", numeric) for numeric in ("none", "standardise", "quantile", "piecewise", "periodic")]
NETWORKS += [("wide_deep", "piecewise"), ("ensemble", "piecewise")]
ROWS = np.array([[0.5, 3.0, 1], [1.5, np.nan, 2], [2.5, 7.0, 0], [3.5, 5.0, 2]], np.float32)
SPLIT = Split(ROWS, np.array([0, 1, 2, 1], np.int32))


def number(name: str, low: float, high: float, missing: bool) -> NumericFeature:
    edges = tuple(np.linspace(low, high, 4).tolist())
    return NumericFeature(
        name=name, minimum=low, maximum=high, mean=(low + high) / 2, std=(high - low) / 3, median=low + 1,
        missing=missing, quantiles=edges, tree_bins=edges,
    )  # fmt: skip


SCHEMA = Schema(
    dataset="numbers", raw_md5="", task="multiclass", sample={},
    features=(
        number("a", 0, 4, False), number("b", 2, 8, True),
        CategoricalFeature(name="c", categories=("x", "y"), missing=True),
    ),
    target=ClassTarget(name="target", classes=("l", "m", "n"), frequencies=(0.25, 0.5, 0.25)),
)  # fmt: skip


def spec(family: str, numeric: str) -> Spec:
    return Spec(
        family=family, numeric=numeric, depth=2, width=4, activation="gelu", normalization="batch", residual=True,
        dropout=0.1, l2=0.01, members=2, categorical="embedding", embedding=2, frequencies=2, optimizer="sgd",
        learning_rate=0.1, batch_size=3,
    )  # fmt: skip


def numbers_of(family: str, numeric: str) -> list[list[float]]:
    """Probabilities of a new network, and of the same one after a step on all rows."""
    keras.utils.set_random_seed(0)
    network = build.build(spec(family, numeric), SCHEMA)
    before = np.asarray(network(ROWS))
    trainer = compile_trainer(network, spec(family, numeric), SCHEMA, SPLIT, SPLIT, 1)
    keras.Model.train_step(trainer, trainer.data)
    return np.concatenate([before, network(ROWS)]).astype(float).round(5).tolist()


@pytest.fixture(scope="module")
def received() -> dict[str, list]:
    found: dict[str, list] = {f"{f}, {n}": numbers_of(f, n) for f, n in NETWORKS}
    settings = {"monitor": "log_loss", "higher_is_better": False, "epochs": 3, "patience": 3, "seed": 0}
    changes = {"normalization": "none", "optimizer": "adamw", "schedule": "cosine", "warmup": 1.0, "ema": 0.5}
    fitted = fit(spec("sequential", "standardise").model_copy(update=changes), SCHEMA, SPLIT, SPLIT, **settings)
    found["history"] = [np.round(fitted.history[name], 5).tolist() for name in ("loss", "val_log_loss")]
    return found


def test_the_same_specs_give_the_numbers_of_this_version(received: dict[str, list], tmp_path: Path) -> None:
    new = tmp_path / STORED.name
    new.write_text(json.dumps({"version": NETWORK_VERSION, **received}) + "\n")
    stored = json.loads(STORED.read_text())
    assert stored.pop("version") == NETWORK_VERSION, f"NETWORK_VERSION was raised: copy {new} to {STORED}"
    assert stored.keys() == received.keys()
    # Sums are added up in another order on another CPU.
    changed = [name for name in stored if not np.allclose(received[name], stored[name], rtol=0, atol=1e-4)]
    assert not changed, (
        f"networks give other numbers than version {NETWORK_VERSION} gave: {'; '.join(changed)}. Where that is meant, "
        f"raise NETWORK_VERSION in contracts/spec.py, run this test again, and copy {new} to {STORED}"
    )


def test_a_changed_number_would_be_noticed(received: dict[str, list]) -> None:
    """Every stored network differs from every other one by more than the tolerance."""
    networks = [np.array(rows) for name, rows in received.items() if name != "history"]
    apart = [np.abs(a - b).max() for i, a in enumerate(networks) for b in networks[:i]]
    assert min(apart) > 1e-2
