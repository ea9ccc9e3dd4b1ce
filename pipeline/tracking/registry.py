"""Registered models in MLflow: a bundle as a new version, and the alias `champion`."""

import contextlib
import tempfile
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.tracking import MlflowClient
from mlflow.types import ColSpec, TensorSpec
from mlflow.types import Schema as MlflowSchema

from contracts.bundle import open_bundle
from contracts.files import copy_modules
from contracts.schema import NumericFeature, Schema
from pipeline.tracking import provenance, runs

CHAMPION = "champion"
TRAINED_ON = "trained_on.npy"
CODE = (
    "contracts/__init__.py",
    "contracts/bundle.py",
    "contracts/conformal.py",
    "contracts/encoding.py",
    "contracts/files.py",
    "contracts/schema.py",
    "serving/__init__.py",
    "serving/predictor.py",
)
REQUIREMENTS = ("numpy", "onnxruntime", "pandas", "pydantic")


def champion(client: MlflowClient, dataset: str) -> str | None:
    """The version with the alias `champion`, if there is one."""
    try:
        return str(client.get_model_version_by_alias(dataset, CHAMPION).version)
    except MlflowException:
        return None


def set_champion_alias(client: MlflowClient, dataset: str, version: str) -> None:
    """Move the alias `champion` to a version; the version that had it stays registered."""
    client.set_registered_model_alias(dataset, CHAMPION, version)


def versions(client: MlflowClient, dataset: str) -> list[str]:
    """The registered versions of a dataset's model, the oldest first."""
    found = client.search_model_versions(f"name='{dataset}'")
    return sorted((str(version.version) for version in found), key=int)


def download_bundle(dataset: str, version: str, folder: Path) -> Path:
    """The bundle of a registered version, downloaded to an existing folder."""
    local = mlflow.artifacts.download_artifacts(f"models:/{dataset}/{version}", dst_path=str(folder))
    return Path(local) / "artifacts" / "bundle"


def trained_on(bundle: Path) -> np.ndarray | None:
    """The ids of the rows that a downloaded version was trained on; None in a version from before they were kept."""
    path = bundle.with_name(TRAINED_ON)
    return np.load(path) if path.exists() else None


def register_bundle(client: MlflowClient, dataset: str, bundle: Path, trained_on: np.ndarray) -> str:
    """Log a bundle and the ids of its train rows as a model of its trial's run, and register it.

    Returns the new version.

    The model is Python code over the bundle (`serving/mlflow_model.py`), so that nothing is pickled.
    """
    manifest, schema = open_bundle(bundle)
    _, experiment = runs.connect(dataset)
    run = runs.find_or_create_run(client, experiment, manifest.mlflow_run_id, f"trial {manifest.trial}")
    with tempfile.TemporaryDirectory() as scratch, runs.reopened(client, run):
        np.save(Path(scratch) / TRAINED_ON, trained_on)
        info = mlflow.pyfunc.log_model(
            name="model",
            python_model="serving/mlflow_model.py",
            artifacts={"bundle": str(bundle), "trained_on": str(Path(scratch) / TRAINED_ON)},
            code_paths=[str(path) for path in copy_modules(CODE, Path(scratch))],
            # Without a list MLflow imports the model once more to guess it.
            pip_requirements=[f"{name}=={version}" for name, version in provenance.versions(*REQUIREMENTS).items()],
            signature=_signature(schema),
            input_example=_example(schema),
        )
    with contextlib.suppress(MlflowException):  # it exists
        client.create_registered_model(dataset)
    # `log_model` can register too, but prints about it.
    return str(client.create_model_version(dataset, info.model_uri, run, model_id=info.model_id).version)


def _signature(schema: Schema) -> ModelSignature:
    """Inputs by column name and type, or images of one shape; a column for each output."""
    if schema.image is not None:
        shape = (-1, schema.image.height, schema.image.width)
        inputs = MlflowSchema([TensorSpec(np.dtype("float32"), shape)])
    else:
        kinds = {f.name: "double" if isinstance(f, NumericFeature) else "string" for f in schema.features}
        # Every column is required; MLflow accepts missing values in it.
        inputs = MlflowSchema([ColSpec(kind, name, required=True) for name, kind in kinds.items()])
    return ModelSignature(inputs, MlflowSchema([ColSpec("float", name) for name in schema.outputs]))


def _example(schema: Schema) -> Any:
    """The sample of the schema in the types of the signature; a missing number is NaN."""
    if schema.image is not None:
        return np.array([schema.sample[schema.image.name]], dtype=np.float32)
    frame = pd.DataFrame([schema.sample])
    numbers = [f.name for f in schema.features if isinstance(f, NumericFeature)]
    return frame.astype(dict.fromkeys(numbers, "float64"))
