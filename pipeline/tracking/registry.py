"""Registered models in MLflow: a bundle as a new version, and the aliases `champion` and `challenger`."""

import contextlib
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import mlflow
import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.tracking import MlflowClient
from mlflow.types import ColSpec, TensorSpec
from mlflow.types import Schema as MlflowSchema

from contracts.bundle import MANIFEST, BundleDamaged, open_bundle
from contracts.encoding import answer_names
from contracts.errors import UserError
from contracts.files import copy_modules, sha256
from contracts.schema import NumericFeature, Schema
from pipeline.tracking import provenance, runs

CHAMPION, CHALLENGER = "champion", "challenger"
TRAINED_ON, SETTINGS = "trained_on.npy", "settings.json"
BUNDLE = "bundle"  # tag of a version: the sha256 of its bundle's manifest
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
NO_SUCH_ALIAS = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")  # MLflow's, for no model and for no alias
REQUIREMENTS = ("numpy", "onnxruntime", "pandas", "pydantic")


def champion(client: MlflowClient, dataset: str) -> str | None:
    """The version with the alias `champion`, if there is one."""
    return with_alias(client, dataset, CHAMPION)


def with_alias(client: MlflowClient, dataset: str, alias: str) -> str | None:
    """The version with an alias, if there is one."""
    try:
        return str(client.get_model_version_by_alias(dataset, alias).version)
    except MlflowException as error:
        if error.error_code in NO_SUCH_ALIAS:
            return None
        said = " ".join(str(error).split())[:300]
        raise UserError(f"MLflow does not say which version of {dataset} is the {alias}: {said}") from None


def is_remote(client: MlflowClient, dataset: str, version: str) -> bool:
    """Whether the files of a version are not on this machine, so that they may be unreachable for a while."""
    try:
        address = client.get_model_version_download_uri(dataset, version)
    except MlflowException:  # the server does not answer
        return True
    return urlparse(address).scheme not in ("", "file")


def version_of(client: MlflowClient, dataset: str, bundle: Path) -> str | None:
    """The newest version that holds this very bundle, if there is one."""
    digest = sha256(bundle / MANIFEST)
    same = [v for v in client.search_model_versions(f"name='{dataset}'") if v.tags.get(BUNDLE) == digest]
    return max((str(version.version) for version in same), key=int, default=None)


def versions(client: MlflowClient, dataset: str) -> list[str]:
    """The registered versions of a dataset's model, the oldest first."""
    found = client.search_model_versions(f"name='{dataset}'")
    return sorted((str(version.version) for version in found), key=int)


def test_figures(client: MlflowClient, dataset: str, version: str, test_md5: str) -> dict[str, float]:
    """The figures of a version on these test rows, by metric; empty if it was measured on other rows."""
    run = client.get_run(str(client.get_model_version(dataset, version).run_id))
    if run.inputs is None or test_md5 not in {data.dataset.digest for data in run.inputs.dataset_inputs}:
        return {}
    return {key.removeprefix("test."): v for key, v in run.data.metrics.items() if key.startswith("test.")}


def expected_version(client: MlflowClient, dataset: str, received: str | None) -> str:
    """The beginning of a message about a version that does not exist; it lists those that exist."""
    present = {with_alias(client, dataset, alias): alias for alias in (CHALLENGER, CHAMPION)}
    listed = ", ".join(f"{v} ({present[v]})" if v in present else v for v in versions(client, dataset))
    listed = listed or f"none yet (`dvc repro -f select@{dataset}` registers one)"
    return f"expected a version of {dataset}, one of: {listed}; received {repr(received) if received else 'none'}"


def packaged_instead(client: MlflowClient, dataset: str, champion: str, bundle: Path) -> str:
    """A sentence if the bundle is that of a version other than the champion, as after `git checkout`."""
    packaged = version_of(client, dataset, bundle) if bundle.exists() else None
    if packaged is None or packaged == champion:
        return ""
    command = f"make promote DATASET={dataset} VERSION={packaged}"
    return f"{bundle} is version {packaged}, not the champion: {command} serves and packages it"


def download_bundle(dataset: str, version: str, folder: Path) -> Path:
    """The bundle of a registered version, downloaded to an existing folder; BundleDamaged if its files are gone."""
    local = mlflow.artifacts.download_artifacts(f"models:/{dataset}/{version}", dst_path=str(folder))
    bundle = Path(local) / "artifacts" / "bundle"
    if not bundle.exists():
        raise BundleDamaged(f"version {version} of {dataset}: expected its files in MLflow's artifacts, received none")
    return bundle


def trained_on(bundle: Path) -> np.ndarray | None:
    """The ids of the train rows of a downloaded version; None if an older version did not keep them."""
    path = bundle.with_name(TRAINED_ON)
    return np.load(path) if path.exists() else None


def register_bundle(
    client: MlflowClient,
    dataset: str,
    bundle: Path,
    trained_on: np.ndarray,
    settings: str,
    tags: Mapping[str, str] = {},
) -> str:
    """Log a bundle, the ids of its train rows and the settings as a model of its trial's run, and register it.

    Returns the new version.

    Args:
        settings: the text of `settings.json`.
        tags: of the version.

    The model is Python code over the bundle (`serving/mlflow_model.py`), so that nothing is pickled.
    """
    manifest, schema = open_bundle(bundle)
    _, experiment = runs.connect(dataset)
    run = runs.find_or_create_run(client, experiment, manifest.mlflow_run_id, manifest.made_of)
    with tempfile.TemporaryDirectory() as scratch, runs.reopened(client, run):
        folder = Path(scratch)
        np.save(folder / TRAINED_ON, trained_on)
        (folder / SETTINGS).write_text(settings, encoding="utf-8")
        shutil.copytree(bundle, folder / "bundle")  # the file needs the name that a reader expects
        info = mlflow.pyfunc.log_model(
            name="model",
            python_model="serving/mlflow_model.py",
            artifacts={Path(name).stem: str(folder / name) for name in ("bundle", TRAINED_ON, SETTINGS)},
            code_paths=[str(path) for path in copy_modules(CODE, folder / "code")],
            # Without a list MLflow imports the model once more to guess it.
            pip_requirements=[f"{name}=={version}" for name, version in provenance.versions(*REQUIREMENTS).items()],
            signature=_signature(schema),
            input_example=_example(schema),
        )
    with contextlib.suppress(MlflowException):  # it exists
        client.create_registered_model(dataset)
    # `log_model` can register too, but prints lines about it.
    tags = {**tags, BUNDLE: sha256(bundle / MANIFEST)}
    version = client.create_model_version(dataset, info.model_uri, run, dict(tags), model_id=info.model_id)
    return str(version.version)


def _signature(schema: Schema) -> ModelSignature:
    """Inputs by column name and type, or images of one shape; a column for each output."""
    if schema.image is not None:
        shape = (-1, schema.image.height, schema.image.width)
        inputs = MlflowSchema([TensorSpec(np.dtype("float32"), shape)])
    else:
        kinds = {f.name: "double" if isinstance(f, NumericFeature) else "string" for f in schema.features}
        # Every column is required; MLflow accepts missing values in it.
        inputs = MlflowSchema([ColSpec(kind, name, required=True) for name, kind in kinds.items()])
    return ModelSignature(inputs, MlflowSchema([ColSpec("float", name) for name in answer_names(schema)]))


def _example(schema: Schema) -> Any:
    """The sample of the schema in the types of the signature; a missing number is NaN."""
    if schema.image is not None:
        return np.array([schema.sample[schema.image.name]], dtype=np.float32)
    frame = pd.DataFrame([schema.sample])
    numbers = [f.name for f in schema.features if isinstance(f, NumericFeature)]
    return frame.astype(dict.fromkeys(numbers, "float64"))
