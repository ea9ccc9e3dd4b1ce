"""Probabilities are calibrated where that is better beyond noise, inside the graph that is exported."""

import keras
import numpy as np
import onnxruntime
import pytest
from scipy.special import expit, logit, softmax

from contracts.bundle import Calibration
from contracts.conformal import FILE
from contracts.metrics import BY_NAME
from models.network.build import build
from models.search.train_trial import export_bundle
from models.training.calibration import apply_calibration, fit_calibration, member_probabilities
from models.training.data import Data

N = 1000


def drawn(factor: float, labels: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities whose logits are `factor` times the true ones, and targets drawn with the true ones."""
    random = np.random.default_rng(3)
    if labels:
        logits = random.normal(0, 2, (N, labels))
        y = (random.random((N, labels)) < expit(logits)).astype(np.float32)
        return expit(factor * logits + (factor - 1))[:, None], y
    logits = random.normal(0, 2, (N, 3))
    true = softmax(logits, axis=1)
    y = (random.random((N, 1)) > true.cumsum(axis=1)).sum(axis=1)
    return softmax(factor * logits, axis=1)[:, None], y


@pytest.mark.parametrize("labels", [0, 1, 2])
def test_probabilities_that_are_too_sure_or_too_unsure_are_corrected(labels: int) -> None:
    for factor in (0.5, 2.0):
        found = fit_calibration(*drawn(factor, labels))
        assert found is not None
        assert found.log_loss_cross_fitted < found.log_loss_before
        assert found.scale == pytest.approx([1 / factor] * max(labels, 1), rel=0.15)
        shift = [-(factor - 1) / factor] * labels or [0]
        assert found.shift == pytest.approx(shift, abs=0.25)


@pytest.mark.parametrize("labels", [0, 1, 2])
def test_calibrated_probabilities_and_few_rows_are_left_alone(labels: int) -> None:
    members, y = drawn(1.0, labels)
    assert fit_calibration(members, y) is None
    members, y = drawn(2.0, labels)
    assert fit_calibration(members[:8], y[:8]) is None


def test_a_target_of_one_class_is_left_alone() -> None:
    members, y = drawn(2.0, 1)
    assert fit_calibration(members, np.ones_like(y)) is None


def as_calibrated(members: np.ndarray, calibration: Calibration, task: str) -> np.ndarray:
    if task == "multiclass":
        return softmax(np.log(members) * calibration.scale, axis=2).mean(axis=1)
    return expit(logit(members) * calibration.scale + calibration.shift).mean(axis=1)


@pytest.mark.parametrize(
    ("task", "changes"),
    [
        ("multiclass", {"family": "sequential"}),
        ("multiclass", {"family": "ensemble", "members": 3}),
        ("binary", {"family": "wide_deep", "wide": ["a"], "deep": ["a", "b", "colour"]}),
        ("multilabel", {"family": "wide_deep", "auxiliary_weight": 0.3}),
        ("multilabel", {"family": "ensemble", "members": 3}),
    ],
)
def test_a_calibration_is_inside_every_network(task: str, changes: dict, spec_of, data_of) -> None:
    schema, split = data_of(task)
    network = build(spec_of(**changes), schema)
    before = member_probabilities(network, split.features).astype(np.float64)
    n = before.shape[2] if task != "multiclass" else 1
    shift = (0.3, -0.2)[:n] if task != "multiclass" else (0.0,)
    calibration = Calibration(scale=(0.4, 2.0)[:n], shift=shift, log_loss_before=1, log_loss_cross_fitted=1)
    apply_calibration(network, calibration)
    received = member_probabilities(network, split.features).mean(axis=1)
    np.testing.assert_allclose(received, as_calibrated(before, calibration, task), atol=1e-5)


def test_an_export_is_calibrated_with_the_network_beside_it_and_has_its_scores(spec_of, data_of, tmp_path) -> None:
    schema, split = data_of("multiclass")
    schema.save(tmp_path / "schema.json")
    data = Data(tmp_path, tmp_path / "schema.json")
    data.save("validation", split)
    network = build(spec_of(), schema)
    head = network.get_layer("prediction_raw")
    head.set_weights([weight * 30 for weight in head.get_weights()])  # sure of itself without reason
    network.save(tmp_path / "saved.keras")
    folders = [tmp_path / "calibrated", tmp_path / "raw"]
    found = [
        export_bundle(tmp_path / "saved.keras", folder, data, calibrate, lambda *_: None)
        for folder, calibrate in zip(folders, (True, False), strict=True)
    ]
    assert isinstance(found[0], Calibration)
    assert found[1] is None
    losses = []
    for folder in folders:
        session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
        (p,) = session.run(None, {session.get_inputs()[0].name: split.features})
        loaded = keras.models.load_model(folder / "model.keras", compile=False)
        np.testing.assert_allclose(np.asarray(loaded(split.features)), p, atol=1e-5)
        scores = np.sort(1 - p[np.arange(len(p)), split.target])
        np.testing.assert_allclose(np.load(folder / FILE)[:, 0], scores, atol=1e-5)
        losses.append(BY_NAME["log_loss"].compute(split.target, p))
    assert losses[0] < losses[1]
    assert losses[1] == pytest.approx(found[0].log_loss_before, abs=1e-3)


@pytest.mark.parametrize("labels", [0, 1])
def test_rows_without_errors_do_not_make_a_network_surer(labels: int) -> None:
    """More certainty is better for each of these rows, and says nothing of the first error on others."""
    right = np.random.default_rng(0).integers(0, 2, 60)
    p = np.where(right == 1, 0.9, 0.1)
    if labels:
        assert fit_calibration(p[:, None, None], right[:, None].astype(np.float32)) is None
    assert fit_calibration(np.stack([1 - p, p, np.full(60, 1e-6)], axis=1)[:, None], right) is None
