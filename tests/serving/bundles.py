"""Small bundles made by hand: a graph of a few operations, so that no test has to train or import TensorFlow."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from contracts.bundle import BACKGROUND, Manifest, seal
from contracts.schema import (
    CategoricalFeature,
    ClassTarget,
    ImageFeature,
    NumericFeature,
    NumericTarget,
    Schema,
)

TICKETS = Schema(
    dataset="tickets",
    raw_md5="0" * 32,
    task="multiclass",
    features=(
        NumericFeature(name="age", minimum=0, maximum=80, mean=30, std=14, median=28, missing=True),
        NumericFeature(name="fare paid", minimum=0, maximum=500, mean=32, std=50, median=14, missing=False),
        CategoricalFeature(name="port", categories=("Cherbourg", "Queenstown", "Southampton"), missing=False),
        CategoricalFeature(name="deck", categories=("A", "B"), missing=True),
    ),
    target=ClassTarget(name="class", classes=("first", "second", "third"), frequencies=(0.2, 0.3, 0.5)),
    sample={"age": 22.0, "fare paid": 7.25, "port": "Southampton", "deck": None},
)
TILES = Schema(
    dataset="tiles",
    raw_md5="0" * 32,
    task="multiclass",
    features=(ImageFeature(name="image", height=8, width=8, maximum=16),),
    target=ClassTarget(name="digit", classes=tuple("0123456789"), frequencies=(0.1,) * 10),
    sample={"image": [[(row * column) % 17 for column in range(8)] for row in range(8)]},
)
PRICES = Schema(
    dataset="prices",
    raw_md5="0" * 32,
    task="regression",
    features=tuple(
        NumericFeature(name=name, minimum=0, maximum=10, mean=5, std=3, median=5, missing=False) for name in "abc"
    ),
    target=NumericTarget(name="price", mean=20, std=5),
    sample={"a": 1.0, "b": 2.0, "c": 3.0},
)
QUANTILES = PRICES.model_copy(
    update={"target": PRICES.target.model_copy(update={"quantiles": ((0.05, 12.0), (0.5, 20.0), (0.95, 28.0))})}
)
SCHEMAS = (TICKETS, TILES, PRICES)


def make_bundle(
    schema: Schema, folder: Path, background: np.ndarray | None = None, scores: bool = True,
    by_row: np.ndarray | None = None,
) -> None:  # fmt: skip
    """Impute with the medians, multiply with fixed random weights, softmax where there are classes.

    Args:
        background: encoded rows for explanations; none in a bundle of an older version.
        by_row: conformal scores with the codes of the categories; none by default.
        scores: conformal ones, of 0.01 to 0.99; a bundle of an older version has none.
    """
    folder.mkdir(parents=True)
    random = np.random.default_rng(7)
    outputs = len(schema.levels or schema.outputs)
    inputs = [] if schema.image else schema.inputs
    weights = random.normal(size=(schema.input_width, outputs)) / 50
    medians = [f.median if isinstance(f, NumericFeature) else 0.0 for f in inputs]
    constants = {
        "medians": np.array([medians if schema.image is None else [0.0] * schema.input_width], dtype=np.float32),
        "weights": (np.sort(weights, axis=1) if schema.levels else weights).astype(np.float32),
    }
    nodes = [
        helper.make_node("IsNaN", ["x"], ["missing"]),
        helper.make_node("Where", ["missing", "medians", "x"], ["complete"]),
        helper.make_node("MatMul", ["complete", "weights"], ["scores"]),
        helper.make_node("Softmax" if schema.classes else "Identity", ["scores"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        schema.dataset,
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", schema.input_width])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", outputs])],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), folder / "model.onnx"
    )
    schema.save(folder / "schema.json")
    if scores:
        of_each = np.linspace(0.01, 0.99, 99, dtype=np.float32)[:, None]
        np.save(folder / "conformal.npy", np.tile(of_each, 1 if schema.picks_one else outputs))
    if by_row is not None:
        np.save(folder / "conformal_by_row.npy", by_row)
    manifest = Manifest(
        dataset=schema.dataset, task=schema.task, metric="log_loss", validation={"log_loss": 0.5}, hyperparameters={},
        seed=1, threads=1, trial=3, study="by-hand", best_epoch=1, n_parameters=1, train_md5="0", validation_md5="0",
        git_revision="test", mlflow_run_id="none", versions={"mlflow": "3.0"},
    )  # fmt: skip
    if background is not None:
        np.save(folder / BACKGROUND, background)
    seal(folder, manifest)
