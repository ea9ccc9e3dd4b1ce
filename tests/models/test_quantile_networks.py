"""Networks that predict quantiles: what they learn, that none crosses another, and their loss."""

import numpy as np
import onnxruntime
import pytest

from contracts.encoding import predictions_of
from contracts.metrics import BY_NAME
from contracts.quantiles import judged
from contracts.schema import NumericFeature, NumericTarget, Schema
from models.network import build
from models.search.train_trial import average, export_bundle, predict_validation
from models.training.data import Data, Split
from models.training.export import export
from models.training.fit import compile_trainer, fit
from tests.models.instant import iris, plan_of

LOSS = BY_NAME["quantile_loss"]
LEVELS = (0.05, 0.3, 0.5, 0.95)
TO_LOSS = {"monitor": "quantile_loss", "higher_is_better": False, "seed": 0}


def spread_out(seed: int, n_rows: int = 2000) -> Split:
    """Numbers whose spread grows with the feature."""
    random = np.random.default_rng(seed)
    x = random.uniform(0, 1, n_rows)
    return Split(x[:, None].astype(np.float32), (100 + 10 * x + random.normal(size=n_rows) * 20 * x).astype(np.float32))


@pytest.fixture(scope="module")
def schema() -> Schema:
    y = spread_out(0).target
    quantiles = tuple(zip(LEVELS, np.quantile(y, LEVELS).tolist(), strict=True))
    feature = NumericFeature(name="x", minimum=0, maximum=1, mean=0.5, std=0.3, median=0.5, missing=False)
    target = NumericTarget(name="y", mean=float(y.mean()), std=float(y.std()), quantiles=quantiles)
    return Schema(dataset="d", raw_md5="", task="regression", features=(feature,), target=target, sample={"x": 0.5})


@pytest.fixture(scope="module", params=["sequential", "ensemble"])
def fitted(request, schema, spec_of):
    spec = spec_of(family=request.param, members=4, width=16, learning_rate=0.02, batch_size=64)
    return fit(spec, schema, spread_out(0), spread_out(1), epochs=25, patience=25, **TO_LOSS)


def test_each_quantile_has_its_share_of_new_rows_below_it_where_the_spread_differs(fitted) -> None:
    new = spread_out(2)
    below = new.target[:, None] <= np.asarray(fitted.network(new.features))
    for rows in (new.features[:, 0] < 0.5, new.features[:, 0] >= 0.5):
        assert below[rows].mean(axis=0) == pytest.approx(LEVELS, abs=0.06)


def test_the_history_has_the_loss_of_the_quantiles_and_the_errors_of_the_median(fitted, schema) -> None:
    validation, epoch = spread_out(1), fitted.best_epoch
    outputs = np.asarray(fitted.network(validation.features))
    loss, medians = LOSS.compute(validation.target, judged(LOSS, schema, outputs)), predictions_of(schema, outputs)
    assert (medians == outputs[:, 2]).all()
    history = {name: values[epoch] for name, values in fitted.history.items()}
    assert history["val_quantile_loss"] == pytest.approx(loss, rel=1e-4)
    assert history["val_loss"] * schema.numbers[0].std == pytest.approx(loss, rel=1e-4)
    for name in ("rmse", "mae"):
        assert history[f"val_{name}"] == pytest.approx(BY_NAME[name].compute(validation.target, medians), rel=1e-4)


def test_no_quantile_crosses_another_however_far_a_row_is(schema, spec_of, tmp_path) -> None:
    network = build.build(spec_of(width=16), schema)
    random = np.random.default_rng(0)
    network.set_weights([weights + random.normal(0, 1, weights.shape) for weights in network.get_weights()])
    rows = (random.normal(size=(20_000, 1)) * 10 ** random.uniform(-3, 5, (20_000, 1))).astype(np.float32)
    export(network, tmp_path, rows[:100])
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    (outputs,) = session.run(None, {session.get_inputs()[0].name: rows})
    assert np.isfinite(outputs).all()
    assert (np.diff(outputs, axis=1) >= 0).all()


def test_the_loss_of_each_member_counts_and_rows_have_weights(schema, spec_of) -> None:
    split = spread_out(0, 64)
    split = split._replace(weight=np.linspace(0.5, 2, 64).astype(np.float32))
    spec = spec_of(family="ensemble", members=3)
    network = build.build(spec, schema)
    trainer = compile_trainer(network, spec, schema, split, split, 1)
    members = np.asarray(network(split.features, training=True))
    assert members.shape == (64, 3, 4)
    of_rows = [LOSS.row_values(split.target, judged(LOSS, schema, members[:, k])) for k in range(3)]
    loss = float(trainer.compute_loss(None, split.target[:, None], members, split.weight))
    assert loss * schema.numbers[0].std == pytest.approx(np.mean(split.weight * np.mean(of_rows, axis=0)), rel=1e-4)


def test_the_mean_of_networks_has_the_mean_of_each_quantile(fitted, schema, tmp_path) -> None:
    data = Data(tmp_path, tmp_path / "schema.json")
    schema.save(data.schema)
    data.save("validation", spread_out(1))
    saved, mean = [tmp_path / "1.keras", tmp_path / "2.keras"], tmp_path / "mean.keras"
    for path in saved:
        fitted.network.save(path)
    (one, _) = predict_validation(saved, data, "quantile_loss", print)
    task = plan_of(iris(), LOSS).trial_task(data, {}, 1)
    assert average(saved, [0.25, 0.75], task, mean, print).value == pytest.approx(
        LOSS.compute(spread_out(1).target, one), rel=1e-5
    )
    assert export_bundle(mean, tmp_path / "bundle", data, True, print) is None
    scores = np.load(tmp_path / "bundle/conformal.npy")
    assert scores.shape == (2000, 1), "of the one pair around the median"
    assert scores[0] < 0 < scores[-1]


def test_a_network_trained_in_16_bits_has_quantiles_too(schema, spec_of) -> None:
    spec, rows = spec_of(precision="mixed_bfloat16"), spread_out(0, 256)
    outputs = np.asarray(fit(spec, schema, rows, rows, epochs=1, patience=1, **TO_LOSS).network(rows.features))
    assert (np.diff(outputs, axis=1) > 0).all()
