"""Labels, several numbers, weights and bins, from the table to the metrics."""

import re
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from contracts.encoding import encode, encode_target
from contracts.errors import UserError
from contracts.metrics import BY_NAME
from contracts.schema import ClassTarget, load_schema
from contracts.settings.load import Source
from contracts.spec import Spec, task_problems
from models.network.compatibility import schema_problems
from pipeline.data import bins
from pipeline.data.schema_inference import infer_schema
from pipeline.data.splits import read_part, row_weights
from pipeline.data.targets import infer_target
from pipeline.evaluation import contest, plots
from pipeline.evaluation.baselines import baseline_predictions
from pipeline.evaluation.references import boosting_ahead, fit_and_score, references
from pipeline.tables import TARGET, write_rows


def table(target):
    return pa.table({"a": [1.0, 2.0, 3.0, 4.0], "w": [1.0, 0.0, 2.0, 1.0], TARGET: pa.array(target)})


def source(task, **more):
    return Source(source="scikit-learn", task=task, **more)


def test_labels_are_encoded_in_the_order_of_the_schema(tmp_path):
    rows = [{"big": True, "red": False}, {"big": True, "red": True}, {"big": False, "red": False}]
    rows.append({"big": True, "red": False})
    schema = infer_schema("d", source("multilabel"), table(rows), "md5")
    assert schema.outputs == schema.classes == ("big", "red")
    assert encode_target(schema, rows).tolist() == [[1, 0], [1, 1], [0, 0], [1, 0]]
    np.testing.assert_allclose(baseline_predictions(schema, 2), [[0.75, 0.25]] * 2)
    schema.save(tmp_path / "schema.json")
    assert load_schema(tmp_path / "schema.json") == schema


@pytest.mark.parametrize(
    ("values", "kind", "labels"),
    [(["True", "False"], "boolean", (False, True)), (["True", "true", "False"], "text", ("False", "True", "true"))],
)
def test_truth_values_are_answered_as_such_unless_they_have_two_spellings(values, kind, labels) -> None:
    target = infer_target(source("multiclass"), "multiclass", pa.table({TARGET: values * 9}))
    assert isinstance(target, ClassTarget)
    assert (target.kind, target.labels) == (kind, labels)


def test_several_numbers_have_their_own_means(tmp_path):
    rows = [{"x": float(i), "y": 10.0 * i} for i in range(4)]
    schema = infer_schema("d", source("regression"), table(rows), "md5")
    assert schema.outputs == ("x", "y")
    assert baseline_predictions(schema, 1).tolist() == [[1.5, 15.0]]
    y = encode_target(schema, rows)
    assert BY_NAME["r2"].compute(y, np.tile(y.mean(axis=0), (4, 1))) == pytest.approx(0)
    assert BY_NAME["r2"].compute(y, y) == 1
    schema.save(tmp_path / "schema.json")
    assert load_schema(tmp_path / "schema.json") == schema


@pytest.mark.parametrize(
    ("values", "offset", "skewed"),
    [
        ([1.0, 2.0, 4.0, 100.0], 0, True),
        ([0.0, 2.0, 4.0, 100.0], 2, True),
        ([-1.0, 2.0, 4.0, 100.0], None, False),
        ([1.0, 2.0, 3.0, 4.0], 0, False),
        ([0.0, 0.0, 0.0, 0.0], None, False),
    ],
    ids=["above 0", "from 0 on", "below 0", "symmetric", "constant"],
)
def test_a_skewed_number_has_a_logarithm_where_there_is_one(values, offset, skewed) -> None:
    target = infer_schema("d", source("regression"), table(values), "md5").target
    assert (target.log and target.log.offset) == offset
    assert target.skewed == skewed
    if offset is not None:
        logs = np.log(np.array(values) + offset)
        assert (target.log.mean, target.log.std) == pytest.approx((logs.mean(), logs.std()))


def test_a_logarithm_that_does_not_exist_is_refused_before_the_search() -> None:
    schema = infer_schema("d", source("regression"), table([-1.0, 2.0, 4.0, 100.0]), "md5")
    spec = Spec(depth=1, width=4, activation="relu", dropout=0, optimizer="adam", learning_rate=0.1, batch_size=4,
                target_scale="log")  # fmt: skip
    assert schema_problems(spec, schema) == [
        "target_scale: expected plain, because train values of target are below 0, received 'log'"
    ]
    assert task_problems(spec, "binary") == ["target_scale: expected plain for binary, received 'log'"]
    with pytest.raises(ValueError, match="output: expected linear for target_scale: log, received 'relu'"):
        Spec(**{**spec.model_dump(), "output": "relu"})


def test_metrics_of_labels_are_the_mean_over_the_labels():
    y = np.array([[1, 0], [1, 1], [0, 0]], np.float32)
    p = np.array([[0.9, 0.2], [0.8, 0.4], [0.6, 0.1]], np.float32)
    assert BY_NAME["accuracy"].compute(y, p) == pytest.approx(4 / 6)
    by_hand = -np.mean(np.log(np.where(y == 1, p, 1 - p)))
    assert BY_NAME["log_loss"].compute(y, p) == pytest.approx(by_hand, rel=1e-5)


def test_a_weight_column_is_not_a_feature(tmp_path):
    rows = table([1.0, 2.0, 3.0, 4.0])
    schema = infer_schema("d", source("regression", weight="w"), rows, "md5")
    assert [feature.name for feature in schema.features] == ["a"]
    write_rows(tmp_path / "train.parquet", rows)
    assert row_weights(rows, schema).tolist() == [1, 0, 2, 1]
    assert read_part(tmp_path / "train.parquet", schema)[0].shape == (4, 1)
    assert row_weights(rows, infer_schema("d", source("regression"), rows, "md5")) is None


@pytest.mark.parametrize("name", ["v", "a_below_0"])
def test_a_column_that_cannot_be_weights_is_refused(name):
    rows = table([1.0, 2.0, 3.0, 4.0]).append_column("a_below_0", pa.array([1.0, -1.0, 1.0, 1.0]))
    with pytest.raises(UserError, match="expected"):
        infer_schema("d", source("regression", weight=name), rows, "md5")


def test_tree_bins_lie_where_the_target_changes():
    values = np.linspace(0, 10, 200)
    edges = bins.tree_bins(values, (values > 7).astype(float), 2, classes=False)
    assert edges[0] == 0
    assert edges[-1] == 10
    assert edges[1] == pytest.approx(7, abs=0.06)


def test_a_constant_has_one_interval():
    edges = bins.quantiles(np.random.default_rng(0).exponential(1, 1000), 4)
    assert len(edges) == 5
    assert bins.quantiles(np.full(9, 3.0), 4) == (3.0, 4.0)
    assert bins.tree_bins(np.full(9, 3.0), np.arange(9.0), 4, classes=False) == (3.0, 4.0)


@pytest.mark.parametrize("task", ["multiclass", "multilabel", "regression"])
def test_reference_models_are_better_than_the_baseline(task):
    generator = np.random.default_rng(0)
    a = generator.normal(0, 1, 300)
    targets = {
        "multiclass": np.where(a > 0, "up", np.where(a < -1, "far", "down")),
        "multilabel": [{"up": bool(x > 0), "far": bool(x < -1)} for x in a],
        "regression": [{"x": 2 * x, "y": -x} for x in a],
    }
    rows = pa.table({"a": a, TARGET: pa.array(targets[task])})
    schema = infer_schema("d", source(task), rows, "md5")
    part = (pd.DataFrame({"a": a}).to_numpy(np.float32), encode_target(schema, targets[task]))
    metric = BY_NAME["rmse" if task == "regression" else "accuracy"]
    baseline = metric.compute(part[1], baseline_predictions(schema, len(a)))
    for name, model in references(schema).items():
        if name != "perceptron":  # it separates classes only linearly
            assert metric.better(fit_and_score(schema, model, part, part)[f"val_{metric.name}"], baseline), name


def test_no_library_s_warning_is_printed_between_the_lines_of_a_run(tmp_path, recwarn):
    part = np.arange(40, dtype=np.float32).reshape(-1, 1), np.arange(40) % 2
    schema = infer_schema("d", source("binary"), pa.table({"a": range(40), TARGET: ["x", "y"] * 20}), "md5")
    fit_and_score(schema, references(schema)["mlp"].set_params(mlpclassifier__max_iter=1), part, part)
    figure, axis = plots.plt.subplots(figsize=(1, 1))
    axis.set_title("\U0001f680")  # no font of matplotlib has it
    plots.save(figure, tmp_path / "plot.png")
    assert [str(warning.message) for warning in recwarn] == []


def test_it_is_told_where_boosted_trees_are_better_beyond_noise():
    generator = np.random.default_rng(0)
    a, colour = generator.normal(0, 1, 400), generator.choice(["red", "green", "blue"], 400)
    values = np.where(colour == "red", 5.0, 0.0) + a
    rows = pa.table({"a": a, "colour": colour, TARGET: values})
    schema = infer_schema("d", source("regression"), rows, "md5")
    encoded, y = encode(schema, {"a": a, "colour": colour}), encode_target(schema, values)
    parts = (encoded[:300], y[:300]), (encoded[300:], y[300:])
    metric = BY_NAME["rmse"]
    told = boosting_ahead(schema, *parts, metric, baseline_predictions(schema, 100), 0.9, 1)
    assert re.fullmatch(
        r"boosted trees are better than this network on the validation rows: rmse 0\.\d+ against 2\.\d+ "
        r"\(p [\d.e-]+\); make references DATASET=d compares more models",
        told,
    )
    assert boosting_ahead(schema, *parts, metric, parts[1][1], 0.9, 1) == ""


@pytest.mark.parametrize(("most", "said"), [(3, "better; the trees trained on 3 of 4 train rows"), (4, "better")])
def test_it_is_told_that_boosted_trees_saw_a_sample(tmp_path, monkeypatch, most, said):
    rows = table([1.0, 2.0, 4.0, 8.0])
    write_rows(tmp_path / "train.parquet", rows)
    schema = infer_schema("d", source("regression"), rows, "md5")
    params = SimpleNamespace(
        source=SimpleNamespace(is_file=True), select=SimpleNamespace(confidence=0.9), preprocess=SimpleNamespace(seed=1)
    )
    given = SimpleNamespace(
        params=params, schema=schema, metric=None, paths=SimpleNamespace(prepared=tmp_path),
        validation=SimpleNamespace(rows=None, y=None),
    )  # fmt: skip
    monkeypatch.setattr(contest, "MOST_TRAIN_ROWS", most)
    monkeypatch.setattr("pipeline.evaluation.references.boosting_ahead", lambda *given: "better")
    assert contest.boosting_ahead_of(given, SimpleNamespace(judged=None)) == said
