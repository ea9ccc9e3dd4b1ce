"""package: the bundle, with the code that serves it, as a Bento."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import bentoml
import numpy as np

from contracts.bundle import check_bundle
from contracts.errors import UserError
from contracts.files import copy_modules
from contracts.records import read_object
from contracts.settings.load import Params
from pipeline.paths import Paths
from pipeline.tracking import provenance

NOT_SERVED = {"mlflow_model.py", "batch"}  # these need MLflow or PyArrow
CODE = (
    *(f"contracts/{name}.py" for name in ("__init__", "bundle", "conformal", "encoding", "files", "schema")),
    *(str(path) for path in sorted(Path("serving").rglob("*"))
      if path.suffix in (".py", ".html", ".css", ".js") and not NOT_SERVED & set(path.parts)),
)  # fmt: skip
REQUIREMENTS = (
    "bentoml", "httptools", "numpy", "onnxruntime", "orjson", "pillow", "prometheus-client", "pydantic",
    "pysimdjson", "python-multipart", "starlette", "uvicorn", "uvloop",
)  # fmt: skip
SECONDS = 120  # most seconds for a prediction by the packed code
TOLERANCE = 1e-5  # largest difference to the answer of the packaged service, relative if the answer is larger than 1


def run(params: Params, paths: Paths) -> None:
    """Write `<dataset>.bento`, which does not need TensorFlow, MLflow or DVC."""
    manifest = check_bundle(paths.bundle)
    version = read_object(paths.selection, "version")["version"]
    with tempfile.TemporaryDirectory() as folder:
        context = Path(folder)
        copy_modules(CODE, context)
        shutil.copytree(paths.bundle, context / "bundle")
        if paths.report.exists():
            shutil.copy(paths.report, context)
        expected = _run("serving.predict_sample", "bundle", folder=context)
        settings = {"workers": params.package.workers, "version": version, "expected": expected}
        (context / "settings.json").write_text(json.dumps(settings))
        # BentoML imports the service from the context, which loads the bundle and checks its hashes. Nothing
        # of `serving` may be imported here before, or the project's own copy would be found instead.
        bento = bentoml.build(
            "serving.service:Prediction",
            name=params.dataset,
            labels={
                "dataset": params.dataset,
                "git": manifest.git_revision,
                "mlflow_run": manifest.mlflow_run_id,
            },
            include=["*"],
            python={
                "packages": [f"{name}=={v}" for name, v in provenance.versions(*REQUIREMENTS).items()],
                "lock_packages": False,  # locking needs the network, and the versions are exact already
            },
            build_ctx=folder,
        )
        try:
            _check_answer(Path(bento.path) / "src", expected)
        except UserError:
            bentoml.bentos.delete(bento.tag)
            raise
        paths.bento.unlink(missing_ok=True)
        bento.export(str(paths.bento.absolute()))
    print(f"  {params.dataset}: packaged as {bento.tag}")


def _check_answer(source: Path, expected: list[float]) -> None:
    """Ask the packaged service itself for the sample's prediction (infra validation, as TFX calls it)."""
    answer = _run("serving.answer_sample", folder=source)
    received = answer.get("predictions", [[]])[0]
    if np.shape(received) != np.shape(expected) or not np.allclose(received, expected, TOLERANCE, TOLERANCE):
        what = answer.get("detail", received)
        raise UserError(f"the packaged service's answer to the schema's sample: expected {expected}, received {what}")


def _run(module: str, *arguments: str, folder: Path) -> Any:
    """The JSON that a module of the packed code prints, in its own process without settings of the service."""
    environment = {name: v for name, v in os.environ.items() if not name.startswith(("SERVING_", "PYTHONPATH"))}
    command = [sys.executable, "-m", module, *arguments]
    try:
        done = subprocess.run(
            command, cwd=folder, env=environment, check=False, capture_output=True, text=True, timeout=SECONDS
        )
    except subprocess.TimeoutExpired:
        raise UserError(f"{module}: expected an answer within {SECONDS} s, received none") from None
    if done.returncode:
        raise UserError(done.stderr.strip().rpartition("\n")[2])
    return json.loads(done.stdout.splitlines()[-1])  # lines of the service's log may come first
