"""The bundle as a registered model: its signature, its example, the code that it needs."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline import provenance, tracking
from pipeline.code import copy_code
from pipeline.schema import CategoricalFeature, Schema
from serving.bundle import open_bundle

CODE = (
    "pipeline/__init__.py",
    "pipeline/schema.py",
    "serving/__init__.py",
    "serving/bundle.py",
    "serving/predictor.py",
)


def register_bundle(client: tracking.MlflowClient, dataset: str, bundle: Path) -> str:
    """Register a bundle as a new version of the dataset's model, logged with its trial's run."""
    manifest, schema = open_bundle(bundle)
    run_id = manifest.mlflow_run_id
    if not tracking.run_exists(client, run_id):  # the bundle came from elsewhere, or the store is new
        _, experiment = tracking.connect(dataset)
        run_id = tracking.new_run(client, experiment, f"trial {manifest.trial}")
    example = _example(schema)
    with tempfile.TemporaryDirectory() as scratch:
        return tracking.register(
            client,
            dataset,
            run_id,
            bundle,
            code=copy_code(CODE, Path(scratch)),
            definition=Path("serving/mlflow_model.py"),
            requirements=[
                f"{name}=={v}" for name, v in provenance.versions("numpy", "onnxruntime", "pandas", "pydantic").items()
            ],
            signature=tracking.signature(_inputs(schema), list(schema.outputs)),
            example=example,
        )


def _inputs(schema: Schema) -> dict[str, str] | tuple[int, int]:
    """The kind of every column, or the shape of an image."""
    if schema.image is not None:
        return (schema.image.height, schema.image.width)
    return {f.name: "string" if isinstance(f, CategoricalFeature) else "double" for f in schema.features}


def _example(schema: Schema) -> Any:
    if schema.image is not None:
        return np.array([schema.sample[schema.image.name]], dtype=np.float32)
    return pd.DataFrame([{n: v if isinstance(v, str) else float(v) for n, v in schema.sample.items()}])
