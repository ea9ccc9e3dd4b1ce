"""References, pictures and groups where classes are rare or many, values close together, and names unlucky."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from contracts.metrics import BY_NAME
from contracts.schema import ClassTarget, Schema
from contracts.settings.load import Source
from pipeline.data.schema_inference import infer_schema
from pipeline.data_report.charts import short
from pipeline.data_report.columns import Column
from pipeline.evaluation import plots
from pipeline.evaluation.references import fit_and_score, predictions_of, references
from pipeline.model_report.card import front_matter
from pipeline.model_report.importance import partial_dependence
from pipeline.model_report.slices import groups_of, worst
from pipeline.tables import TARGET


def schema_of(target: list, task: str) -> Schema:
    table = pa.table({"a": np.arange(len(target), dtype=float), TARGET: pa.array(target)})
    return infer_schema("d", Source(source="scikit-learn", task=task), table, "md5")


def test_a_class_with_one_row_is_trained_on_and_not_kept_back() -> None:
    names = ["a"] * 25 + ["b"] + ["c"] * 30  # in the order of the classes b has the place of a row that is kept back
    schema = schema_of(names, "multiclass")
    part = np.arange(56, dtype=np.float32)[:, None], np.array([schema.classes.index(name) for name in names], np.int32)
    assert np.argsort(part[1], kind="stable")[5::10].tolist()[2] == 25
    for name, model in references(schema).items():
        assert fit_and_score(schema, model, part, part)["val_accuracy"] > 0.4, name
    few = part[0][::14], part[1][::14]
    references(schema)["boosting"].fit(*few)


def test_a_class_that_a_sample_of_train_rows_lacks_shifts_no_other() -> None:
    schema = schema_of(["a", "b", "c"] * 20, "multiclass")
    y = np.tile(np.array([0, 2], np.int32), 30)
    rows = (y + 0.01 * np.arange(60)).astype(np.float32)[:, None]
    for name in ("logistic", "forest", "boosting"):
        model = references(schema)[name]
        model.fit(rows, y)
        found = predictions_of(schema, model, rows)
        assert found.shape == (60, 3)
        assert not found[:, 1].any()
        assert BY_NAME["accuracy"].compute(y, found) > 0.9, name


@pytest.mark.parametrize("constant", [{"never": False, "always": True}, {"never": False}, {"x": True, "y": False}])
def test_a_label_with_one_value_in_train_keeps_it(constant: dict[str, bool]) -> None:
    varied = [] if "x" in constant else ["up"]
    rows = [{**constant, **dict.fromkeys(varied, value > 0)} for value in np.linspace(-1, 1, 40)]
    schema = schema_of(rows, "multilabel")
    x = np.linspace(-1, 1, 40, dtype=np.float32)[:, None]
    y = np.array([[row[name] for name in schema.outputs] for row in rows], np.float32)
    for name, model in references(schema).items():
        model.fit(x, y)
        found = predictions_of(schema, model, x)
        for label, value in constant.items():
            assert (found[:, schema.outputs.index(label)] == value).all(), (name, label)
        assert (found.round() == y).mean() > 0.7, name


def column_of(kind: str, values: np.ndarray) -> Column:
    return Column("pressure", kind, "feature", "", {"validation": values})  # type: ignore[arg-type]


def test_groups_whose_edges_are_close_are_all_there_and_the_worst_is_found() -> None:
    random = np.random.default_rng(0)
    values = random.normal(1013.2, 0.3, 2000)
    second = (values > np.quantile(values, 0.2)) & (values <= np.quantile(values, 0.4))
    masks = groups_of([column_of("number", values)], {})
    assert len(masks) == 6
    errors = random.normal(size=2000) * np.where(second, 100, 1)
    (found, *_) = worst(BY_NAME["rmse"], np.zeros(2000), errors, masks)
    assert found.is_worse
    assert found.rows == 400
    hours = column_of("date", 20_000 + np.arange(1000) / 1000)
    assert "pressure: 2024-10-04 04:46:33 to 2024-10-04 09:34:33" in groups_of([hours], {})


def test_a_category_called_missing_is_not_the_missing_values() -> None:
    values = np.array(["missing"] * 50 + [None] * 30 + ["others"] * 40, object)
    masks = groups_of([column_of("category", values)], {})
    sizes = {name.removeprefix("pressure: "): int(mask.sum()) for name, mask in masks.items()}
    assert sizes == {"missing": 30, "“missing”": 50, "“others”": 40, "others": 0}


def test_a_number_in_few_characters_is_still_that_number() -> None:
    numbers = (0.12345, 12.345, 1004, 2015, 9996, 12_345, 999_999, 1_250_000)
    assert [short(float(number)) for number in numbers] == [
        "0.123", "12.3", "1004", "2015", "9996", "12.3k", "1M", "1.25M"
    ]  # fmt: skip


def many(n: int, name: str = "class {}") -> Schema:
    classes = tuple(name.format(number) for number in range(n))
    target = ClassTarget(name="$y_$", classes=classes, frequencies=(1 / n,) * n)
    return schema_of(["x", "y"] * 10, "binary").model_copy(update={"target": target, "task": "multiclass"})


def test_a_picture_of_many_classes_has_no_more_than_fits_into_it() -> None:
    y = np.arange(600)
    few, lots = (plots.confusion(many(n), y % n, np.eye(n)[y % n]) for n in (10, 600))
    assert len(few.axes[0].texts) == 100
    assert not lots.axes[0].texts
    assert max(lots.get_size_inches()) <= 20
    truth = np.zeros((5, 300))
    predicted = truth.copy()
    predicted[:3, 250] = 1
    labels = plots.label_errors(many(300), truth, predicted)
    assert max(labels.get_size_inches()) <= 20
    assert "class 250" in [text.get_text() for text in labels.axes[0].get_yticklabels()]


def test_dollars_in_a_name_are_no_formula() -> None:
    figure = plots.confusion(many(2, "$a_$ {}"), np.array([0, 1]), np.eye(2))
    figure.canvas.draw()
    y = np.array([1.0, 2.0])
    plots.residuals(many(2), y, y).canvas.draw()


def test_a_small_figure_is_not_rounded_to_none_in_the_card() -> None:
    manifest = SimpleNamespace(dataset="d", trial=1)
    facts = {"schema": many(2), "manifest": manifest, "figures": [{"name": "rmse", "test": 3.2123456789e-07}]}
    assert '"value": 3.21235e-07' in front_matter(facts)


def test_partial_dependence_looks_at_all_rows_and_not_at_the_first_ones() -> None:
    table = pd.DataFrame({"a": np.arange(900.0), "b": np.repeat([0.0, 1.0], 450)})
    rows = pa.Table.from_pandas(table.assign(**{TARGET: table["a"]}), preserve_index=False)
    schema = infer_schema("d", Source(source="scikit-learn", task="regression"), rows, "md5")
    curve = partial_dependence(schema, lambda x: x[:, 1].astype(float), table.to_numpy(np.float32), "a")
    assert curve is not None
    assert np.allclose(curve.y, 0.5, atol=0.01)
