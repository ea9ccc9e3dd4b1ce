"""Trains the networks of the course material exactly as it does: no early stopping, the weights of the last epoch."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

from models.training.runtime import use_threads  # first: imports TensorFlow quietly  # isort: skip
import keras
import numpy as np
import pyarrow as pa

from contracts.metrics import BY_NAME
from contracts.schema import Schema
from contracts.settings.load import load_params
from contracts.spec import Spec
from models.network import build
from models.training.data import Split
from models.training.fit import compile_trainer, shuffled_row_indices
from pipeline.data.schema_inference import infer_schema
from pipeline.data.splits import encode_rows
from pipeline.paths import var
from pipeline.sources.readers import load_raw
from pipeline.tables import IS_TEST

Rows = dict[str, np.ndarray]  # row numbers by the name of the part


@cache
def raw(dataset: str) -> pa.Table:
    """All rows of a dataset in their original order, downloaded once, or from the mirror."""
    use_threads(0)
    params = load_params(Path("params.yaml"), dataset)
    return load_raw(dataset, params.source, params.fetch, var() / "downloads")


def known_split(rows: Rows, table: pa.Table) -> Rows:
    """Row numbers that are known beforehand."""
    return rows


@cache
def parts(dataset: str, divide: Callable[[pa.Table], Rows]) -> tuple[Schema, dict[str, Split]]:
    """The schema, with constants fitted on `train`, and the parts of `divide` as encoded rows."""
    table = raw(dataset)
    rows = divide(table)
    if IS_TEST in table.column_names:
        table = table.drop_columns([IS_TEST])
    source = load_params(Path("params.yaml"), dataset).source
    schema = infer_schema(dataset, source, table.take(rows["train"]), "")
    return schema, {part: Split(*encode_rows(table.take(of_part), schema)) for part, of_part in rows.items()}


def train(spec: Spec, schema: Schema, train: Split, watched: Split, epochs: int, seed: int) -> keras.Model:
    """A network trained for `epochs`; `watched` is measured after each epoch and decides nothing."""
    use_threads(0)
    keras.utils.set_random_seed(seed)
    network = build.build(spec, schema)
    trainer = compile_trainer(network, spec, schema, train, watched, epochs)
    order = shuffled_row_indices(len(train.target), seed)
    trainer.fit(order, steps_per_epoch=1, epochs=epochs, validation_data=trainer.validation, shuffle=False, verbose=0)
    return network


def trained_score(
    dataset: str, divide: Callable[[pa.Table], Rows], spec: Spec, epochs: int, seed: int,
    part: str = "test", metric: str = "accuracy",
) -> float:  # fmt: skip
    """The metric of one part after a training on another, in which the validation rows decide nothing."""
    schema, of = parts(dataset, divide)
    return score(train(spec, schema, of["train"], of["validation"], epochs, seed), schema, of[part], metric)


def score(network: keras.Model, schema: Schema, rows: Split, metric: str) -> float:
    """The metric of a network's predictions for some rows."""
    predictions = np.concatenate([np.asarray(network(part)) for part in np.array_split(rows.features, 8)])
    if schema.task == "regression":
        predictions = predictions[:, 0]
    return BY_NAME[metric].compute(rows.target, predictions)
