"""package: the bundle, with the code that serves it, as a Bento."""

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import bentoml

from contracts.bundle import check_bundle
from contracts.errors import UserError
from contracts.files import copy_modules
from contracts.settings.load import Params
from pipeline.paths import Paths
from pipeline.tracking import provenance

NOT_SERVED = ("mlflow_model.py", "batch.py")  # need MLflow, and PyArrow
CODE = (
    *(f"contracts/{name}.py" for name in ("__init__", "bundle", "encoding", "files", "schema")),
    *(str(path) for path in sorted(Path("serving").rglob("*"))
      if path.suffix in (".py", ".html", ".css", ".js") and path.name not in NOT_SERVED),
)  # fmt: skip
REQUIREMENTS = (
    "bentoml", "httptools", "numpy", "onnxruntime", "orjson", "pillow", "prometheus-client", "pydantic",
    "pysimdjson", "python-multipart", "starlette", "uvicorn", "uvloop",
)  # fmt: skip


def run(params: Params, paths: Paths) -> None:
    """Write `<dataset>.bento`, which does not need TensorFlow, MLflow or DVC."""
    manifest = check_bundle(paths.bundle)
    version = json.loads(paths.selection.read_text())["version"]
    with tempfile.TemporaryDirectory() as folder:
        context = Path(folder)
        copy_modules(CODE, context)
        shutil.copytree(paths.bundle, context / "bundle")
        shutil.copy(paths.report, context)
        settings = {"workers": params.package.workers, "version": version, "expected": _sample_prediction(context)}
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
                "lock_packages": False,  # locking asks the network; the versions are exact already
            },
            build_ctx=folder,
        )
        paths.bento.unlink(missing_ok=True)
        bento.export(str(paths.bento.absolute()))
    print(f"  {params.dataset}: packaged as {bento.tag}")


def _sample_prediction(context: Path) -> list[float]:
    """The prediction of the packaged code for the schema's sample, with which the service compares its own."""
    command = [sys.executable, "-m", "serving.predict_sample", "bundle"]
    done = subprocess.run(command, cwd=context, check=False, capture_output=True, text=True, timeout=60)
    if done.returncode:
        raise UserError(done.stderr.strip())
    return json.loads(done.stdout)
