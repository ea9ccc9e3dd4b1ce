"""A value that stands for a missing one in the data stands for one in every file to predict."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from contracts.schema import load_schema
from contracts.settings.load import load_params
from pipeline.paths import Paths
from pipeline.stages import fetch, preprocess
from serving.batch.file import predict_file
from tests.pipeline.streamed import STREAMED
from tests.serving.bundles import make_bundle

GAPS = {
    "x": [None if n % 3 == 1 else n * 37 % 120 / 4 for n in range(1, 121)],
    "shop": [("a", None, "b")[n * 7 % 11 % 3] for n in range(120)],
    "whole": [n * 11 % 17 or None for n in range(120)],
}
MARKERS = {"x": -999.0, "shop": " ? ", "whole": 0}
ROWS = {name: [MARKERS[name] if value is None else value for value in values] for name, values in GAPS.items()}


def write(path: Path, rows: dict[str, list]) -> Path:
    if path.suffix == ".parquet":
        pq.write_table(pa.table(rows), path)
    elif path.suffix == ".csv":
        pd.DataFrame(rows).to_csv(path, index=False, float_format="%g")
    else:
        lines = (dict(zip(rows, row, strict=True)) for row in zip(*rows.values(), strict=True))
        path.write_text("\n".join(map(json.dumps, lines)))
    return path


@pytest.mark.usefixtures("no_report", "small_batches")
@pytest.mark.parametrize("memory", ["auto", str(STREAMED)])
@pytest.mark.parametrize("form", ["parquet", "jsonl", "csv"])
def test_a_marker_is_a_gap_in_training_and_in_every_file_to_predict(folder: Path, form: str, memory: str) -> None:
    target = {"y": np.random.default_rng(0).choice(["no", "yes", "perhaps"], 120).tolist()}
    source = write(Path(f"rows.{form}"), ROWS | target)
    Path("catalog/mine.yaml").write_text(
        f"data: {{source: {source}, target: y, missing: ['-999', '?', '0'], columns: {{shop: category}}}}\n"
    )
    Path("params.yaml").write_text(Path("params.yaml").read_text().replace("memory: auto", f"memory: {memory}"))
    params, paths = load_params(Path("params.yaml"), "mine"), Paths("mine")
    fetch.run(params, paths)
    preprocess.run(params, paths)
    schema = load_schema(paths.prepared / "schema.json")
    assert {feature.name: getattr(feature, "missing", None) for feature in schema.features} == dict.fromkeys(ROWS, True)
    make_bundle(schema, Path("bundle"))
    predictions, counts = [], []
    for other in ("parquet", "jsonl", "csv"):
        for name, rows in (("marked", ROWS), ("gaps", GAPS)):
            out = Path(f"{name}_{other}.parquet")
            counts.append(predict_file(Path("bundle"), write(Path(f"{name}.{other}"), rows), out))
            predictions.append(pq.read_table(out).to_pandas().to_numpy()[:, 1:].astype(float))
    assert all(np.array_equal(predictions[0], other) for other in predictions)
    assert all(other == counts[0] for other in counts), "no marker is an unknown category"
    assert len(np.unique(predictions[0], axis=0)) > 50
