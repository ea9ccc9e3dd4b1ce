"""The cost of the checks of a request: the time of our handler minus that of parsing, model and response without
checks.
"""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import orjson

from contracts.encoding import encode
from serving.metrics import RequestMetrics
from serving.model import ServedModel
from serving.predictor import Predictor
from serving.protocols import tensorflow_serving

TIMES = 2000


def checks_seconds(bundle: Path, body: bytes) -> float:
    """Seconds of CPU time, the smallest of five measurements of 2,000 requests each."""
    predictor = Predictor(bundle)
    schema = predictor.schema
    sample = encode(schema, {name: [value] for name, value in schema.sample.items()})
    metrics = RequestMetrics(schema.dataset, "1", schema.classes)
    model = ServedModel(predictor, "1", predictor.predict(sample).reshape(-1).tolist(), 1000, metrics)
    names = [] if schema.image else [feature.name for feature in schema.features]

    def unchecked() -> bytes:
        instances = orjson.loads(body)["instances"]
        if names:
            instances = [[row[name] for name in names] for row in instances]
        rows = np.array(instances, dtype=np.float32).reshape(-1, schema.input_width)
        return orjson.dumps({"predictions": predictor.predict(rows)}, option=orjson.OPT_SERIALIZE_NUMPY)

    return _seconds(lambda: tensorflow_serving.predict(model, body, "application/json")) - _seconds(unchecked)


def _seconds(answer: Callable) -> float:
    times = []
    for _ in range(5):
        started = time.process_time()
        for _ in range(TIMES):
            answer()
        times.append((time.process_time() - started) / TIMES)
    return min(times)
