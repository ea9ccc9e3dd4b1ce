"""How an answer changes with one column of a row, and whether known rows get their answers."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from contracts.encoding import decide, encode
from contracts.schema import CategoricalFeature, NumericFeature, Schema
from contracts.settings.gates import Case, Invariance, Monotonicity
from serving.predictor import Predictor

LABEL_THRESHOLD = 0.5
STEPS = 9  # values of a number, from its minimum to its maximum


def largest_change(predictor: Predictor, frame: pd.DataFrame, rule: Invariance) -> float:
    """The largest change of an answer, over all rows, when the column takes another value."""
    before = _answers(predictor, frame)
    values = _values_of(predictor.schema, rule.column)
    return max(float(np.abs(_with(predictor, frame, rule.column, value) - before).max()) for value in values)


def largest_break(predictor: Predictor, frame: pd.DataFrame, rule: Monotonicity) -> float:
    """The largest change of an answer in the wrong direction, over all rows, when the column rises step by step."""
    output = 0 if rule.output is None else predictor.schema.outputs.index(rule.output)
    values = _values_of(predictor.schema, rule.column)
    answers = np.stack([_with(predictor, frame, rule.column, value)[:, output] for value in values])
    steps = np.diff(answers, axis=0) * (-1 if rule.direction == "rising" else 1)
    return max(0.0, float(steps.max()))


def wrong_cases(predictor: Predictor, cases: Sequence[Case]) -> list[str]:
    """The cases with a wrong answer, each as `case 0: answered …, expected …`."""
    schema = predictor.schema
    rows = pd.DataFrame([{f.name: case.row.get(f.name) for f in schema.features} for case in cases])
    wrong = []
    for number, (case, answer) in enumerate(zip(cases, _answers(predictor, rows), strict=True)):
        received, expected, right = _compared(predictor, case, answer)
        if not right:
            wrong.append(f"case {number}: answered {received}, expected {expected}")
    return wrong


def _compared(predictor: Predictor, case: Case, answer: np.ndarray) -> tuple[str, str, bool]:
    """An answer, the expected one, and whether they agree."""
    schema = predictor.schema
    if not schema.classes:
        low, high = (-np.inf if case.low is None else case.low), (np.inf if case.high is None else case.high)
        return f"{answer[0]:.4g}", f"{low:g} to {high:g}", bool(low <= answer[0] <= high)
    if schema.picks_one:
        (code,) = decide(answer[None], predictor.manifest.threshold)
        received = schema.classes[code]
        return repr(received), repr(case.answer), received == str(case.answer) or schema.labels[code] == case.answer
    labels = [name for name, p in zip(schema.classes, answer, strict=True) if p >= LABEL_THRESHOLD]
    assert isinstance(case.answer, list)
    return str(labels), str(case.answer), set(labels) == set(case.answer)


def _values_of(schema: Schema, column: str) -> Sequence[Any]:
    feature = next(f for f in schema.features if f.name == column)
    if isinstance(feature, CategoricalFeature):
        return feature.categories
    assert isinstance(feature, NumericFeature)
    return np.linspace(feature.minimum, feature.maximum, STEPS).tolist()


def _with(predictor: Predictor, frame: pd.DataFrame, column: str, value: Any) -> np.ndarray:
    return _answers(predictor, frame.assign(**{column: value}))


def _answers(predictor: Predictor, frame: pd.DataFrame) -> np.ndarray:
    """Predictions of shape (n_rows, n_outputs)."""
    schema = predictor.schema
    columns = {feature.name: frame[feature.name] for feature in schema.features}
    return predictor.predict(encode(schema, columns)).reshape(len(frame), len(schema.outputs))
