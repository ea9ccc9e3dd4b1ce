"""Rows that a small bundle predicts without error, for tests of gates."""

from pathlib import Path

import numpy as np
import pandas as pd

from contracts.encoding import encode
from contracts.metrics import BY_NAME
from contracts.schema import Schema
from contracts.settings.gates import Gates
from pipeline.evaluation.gates.judge import Validation, Verdict, judge
from serving.predictor import Predictor
from tests.serving.bundles import make_bundle

N = 200


def frame_of(schema: Schema) -> pd.DataFrame:
    random = np.random.default_rng(1)
    if schema.task == "regression":
        return pd.DataFrame(random.uniform(0, 10, (N, 3)), columns=list("abc"))
    return pd.DataFrame({
        "age": random.uniform(0, 80, N), "fare paid": random.uniform(0, 500, N),
        "port": random.choice(["Cherbourg", "Queenstown", "Southampton"], N),
        "deck": random.choice(["A", "B", None], N),
    })  # fmt: skip


class Judged:
    """A small bundle, and rows that it predicts without error but for those of `wrong`."""

    def __init__(self, schema: Schema, folder: Path) -> None:
        self.bundle, self.schema = folder / schema.dataset, schema
        if not self.bundle.exists():
            make_bundle(schema, self.bundle)
        self.predictor, self.frame = Predictor(self.bundle), frame_of(schema)
        self.rows = encode(schema, {name: self.frame[name] for name in self.frame})
        self.predictions = self.predictor.predict(self.rows)
        self.right = self.predictions.argmax(axis=1) if schema.classes else self.predictions

    def __call__(self, wrong: np.ndarray | None = None, references: dict | None = None, **gates) -> dict[str, Verdict]:
        y = self.right.copy()
        if wrong is not None:
            y[wrong] = (y[wrong] + 1) % 3 if self.schema.classes else y[wrong] + 1
        metric = BY_NAME["accuracy" if self.schema.classes else "rmse"]
        validation = Validation(self.frame, self.rows, y)
        verdicts = judge(
            Gates(**gates), self.bundle, self.predictor, self.predictions, validation, metric, references or {}, 0.9, 1
        )
        return {verdict.gate: verdict for verdict in verdicts}
