"""The bundle as a registered model: its signature, its example, the code that it needs."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from contracts.bundle import open_bundle
from contracts.files import copy_modules
from contracts.schema import CategoricalFeature, Schema
from pipeline.tracking import provenance, runs

CODE = (
    "contracts/__init__.py",
    "contracts/bundle.py",
    "contracts/encoding.py",
    "contracts/files.py",
    "contracts/schema.py",
    "serving/__init__.py",
    "serving/predictor.py",
)


def register_bundle(client: runs.MlflowClient, dataset: str, bundle: Path) -> str:
    """Register a bundle as a new version of the dataset's model, logged with its trial's run."""
    manifest, schema = open_bundle(bundle)
    run_id = manifest.mlflow_run_id
    if not runs.run_exists(client, run_id):  # the bundle came from elsewhere, or the store is new
        _, experiment = runs.connect(dataset)
        run_id = runs.new_run(client, experiment, f"trial {manifest.trial}")
    example = _example(schema)
    with tempfile.TemporaryDirectory() as scratch:
        return runs.register(
            client,
            dataset,
            run_id,
            bundle,
            code=copy_modules(CODE, Path(scratch)),
            definition=Path("serving/mlflow_model.py"),
            requirements=[
                f"{name}=={v}" for name, v in provenance.versions("numpy", "onnxruntime", "pandas", "pydantic").items()
            ],
            signature=runs.signature(_inputs(schema), list(schema.outputs)),
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
