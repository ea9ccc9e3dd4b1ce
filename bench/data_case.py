"""One case of `bench.data`, in a process of its own: prints the seconds of its steps as JSON."""

import json
import os
import sys
import time
from pathlib import Path


def streamed(table: Path, project: Path) -> dict[str, float]:
    """fetch and preprocess as the stages run them, made to stream whatever the memory."""
    # So little memory that each table is streamed, but enough for a stream.
    return _stages(table, project, memory=min(1.5, int(table.stem) / 1e6))


def bundle(table: Path, project: Path) -> dict[str, float]:
    """The bundle of an untrained network of two layers of 128 for the rows of a table, which `predict` needs; it is not
    timed.
    """
    _stages(table, project, memory=8)
    import numpy as np

    from bench.stream import SPEC, write_bundle
    from contracts.schema import load_schema
    from models.network import build
    from pipeline.paths import Paths

    schema = load_schema(Paths("mixed", root=project).prepared / "schema.json")
    rows = np.zeros((1000, schema.input_width), np.float32)
    write_bundle(build.build(SPEC, schema), schema, rows, project / "bundle")
    return {}


def predict(table: Path, project: Path) -> dict[str, float]:
    """Predictions by that network, to Parquet."""
    from serving.batch.file import predict_file

    begun = time.perf_counter()
    predict_file(project / "bundle", table, project / "predictions.parquet")
    return {"predict": time.perf_counter() - begun}


def _stages(table: Path, project: Path, memory: float) -> dict[str, float]:
    os.environ["DVC_ROOT"] = str(project)
    from contracts.settings.load import Source, load_params
    from pipeline.paths import Paths
    from pipeline.stages import fetch, preprocess

    params = load_params(Path("params.yaml"), "iris")
    params = params.model_copy(
        update={
            "dataset": "mixed",
            "source": Source(source=str(table), target="y"),
            "fetch": params.fetch.model_copy(update={"memory": memory}),
        }
    )
    paths = Paths("mixed", root=project)
    begun = time.perf_counter()
    fetch.run(params, paths)
    fetched = time.perf_counter()
    preprocess.run(params, paths)
    return {"fetch": fetched - begun, "preprocess": time.perf_counter() - fetched}


def pandas(table: Path, project: Path) -> dict[str, float]:
    """The code that a person writes with pandas and scikit-learn: read, split, constants of the train rows, three
    files.
    """
    import pandas as pd
    from sklearn.compose import make_column_selector, make_column_transformer
    from sklearn.impute import SimpleImputer
    from sklearn.model_selection import train_test_split
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import KBinsDiscretizer, OrdinalEncoder, StandardScaler

    begun = time.perf_counter()
    frame = pd.read_csv(table, parse_dates=["day"]) if table.suffix == ".csv" else pd.read_parquet(table)
    fetched = time.perf_counter()
    rest, test = train_test_split(frame, test_size=0.2, stratify=frame["y"], random_state=42)
    train, validation = train_test_split(rest, test_size=0.2, stratify=rest["y"], random_state=42)
    is_number, is_text = make_column_selector(dtype_include="number"), make_column_selector(pattern="^category")
    make_column_transformer(
        (make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), is_number),
        (make_pipeline(SimpleImputer(strategy="median"), KBinsDiscretizer(48, subsample=200_000)), is_number),
        (OrdinalEncoder(max_categories=255, handle_unknown="use_encoded_value", unknown_value=-1), is_text),
    ).fit(train.drop(columns="y"))
    train.describe(include="all")
    project.mkdir(parents=True, exist_ok=True)
    for name, rows in {"train": train, "validation": validation, "test": test}.items():
        rows.to_parquet(project / f"{name}.parquet", compression="zstd", index=False)
    return {"fetch": fetched - begun, "preprocess": time.perf_counter() - fetched}


if __name__ == "__main__":
    case = {"streamed": streamed, "pandas": pandas, "bundle": bundle, "predict": predict}[sys.argv[1]]
    print(json.dumps(case(Path(sys.argv[2]), Path(sys.argv[3]))))
