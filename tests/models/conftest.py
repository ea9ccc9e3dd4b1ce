"""Small data of every kind, and TensorFlow imported once, quietly."""

import os
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from contracts.encoding import encode, encode_target
from contracts.schema import ClassTarget, NumericFeature, Schema
from contracts.settings.load import Image, Source
from contracts.spec import Spec
from models.search.workers.pool import Pool
from models.training.data import Data, Split
from pipeline.data.schema_inference import infer_schema
from pipeline.tables import IMAGE, TARGET, images_to_column
from tests.models.wine import prepare_wine, short_search

ROWS = 96


@pytest.fixture(scope="module")
def pool() -> Iterator[Pool]:
    with Pool() as made:
        yield made


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Wine, prepared."""
    return prepare_wine(tmp_path_factory.mktemp("wine"))


@pytest.fixture
def load(tmp_path: Path):
    """Params of a short search on wine."""
    return lambda **search: short_search(tmp_path, **search)


@pytest.fixture(scope="session")
def spec_of():
    """A small spec with what a test changes in it."""

    def make(**changes) -> Spec:
        small = {
            "depth": 2, "width": 8, "activation": "relu", "dropout": 0.0, "optimizer": "adam",
            "learning_rate": 0.01, "batch_size": 32,
        }  # fmt: skip
        return Spec(**{**small, **changes})

    return make


@pytest.fixture(scope="session")
def data_of():
    """Schema and rows of a task: two numbers, one of them missing at times, and two categories; or images."""

    def make(task: str, *, images: bool = False, several: bool = False, quantiles: tuple = ()) -> tuple[Schema, Split]:
        generator = np.random.default_rng(0)
        a, b = generator.normal(10, 3, ROWS), generator.exponential(2, ROWS)
        colour = generator.choice(["red", "green", "blue"], ROWS)
        signal = (a - 10) / 3 + 0.5 * b + (colour == "red")
        targets = {
            "multiclass": np.array(["low", "middle", "high"])[np.digitize(signal, [0.5, 1.8])],
            "binary": np.where(signal > 1, "yes", "no"),
            "multilabel": [{"big": bool(s > 1), "red": bool(c == "red")} for s, c in zip(signal, colour, strict=True)],
            "regression": [{"x": 50 + 7 * s, "y": s**2} for s in signal] if several else 50 + 7 * signal,
        }
        image = None
        columns: dict = {"a": a, "b": np.where(generator.random(ROWS) < 0.1, np.nan, b), "colour": colour}
        columns["shape"] = generator.choice(["round", "square"], ROWS)
        if images:
            pixels = generator.integers(0, 17, (ROWS, 4, 4)).astype(np.uint8)
            pixels[:, 0, 0] = np.clip(8 + 4 * signal, 0, 16)
            image, columns = Image(height=4, width=4, maximum=16), {IMAGE: images_to_column(pixels)}
        table = pa.table({**columns, TARGET: pa.array(targets[task])})
        source = Source(source="scikit-learn", task=task, image=image, quantiles=quantiles)
        schema = infer_schema("tiny", source, table, "md5", bins=8)
        inputs = {IMAGE: pixels} if images else pd.DataFrame(columns)
        return schema, Split(encode(schema, inputs), encode_target(schema, targets[task]))

    return make


@pytest.fixture(scope="module")
def flowers(data_of):
    return data_of("multiclass")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Data:
    """Two classes that one feature tells apart."""
    folder = tmp_path_factory.mktemp("data")
    feature = NumericFeature(name="x", minimum=-1, maximum=1, mean=0, std=1, median=0, missing=False)
    target = ClassTarget(name="y", classes=("low", "high"), frequencies=(0.5, 0.5))
    schema = Schema(dataset="d", raw_md5="", task="binary", features=(feature,), target=target, sample={"x": 0.0})
    schema.save(folder / "schema.json")
    made = Data(folder, folder / "schema.json")
    rows = np.linspace(-1, 1, 64, dtype=np.float32)[:, None]  # whole batches: one traced step
    for part in ("train", "validation"):
        made.save(part, Split(rows, (rows[:, 0] > 0).astype(np.int32)))
    return made
