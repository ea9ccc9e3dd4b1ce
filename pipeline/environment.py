"""Environment variables that tools read when they are imported."""

import os

from pipeline.paths import var

DEFAULTS = {
    "BENTOML_DO_NOT_TRACK": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "DO_NOT_TRACK": "true",
    "DVC_NO_ANALYTICS": "1",
    "GIT_PYTHON_REFRESH": "quiet",
    "ORT_DISABLE_TELEMETRY": "1",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "MPLBACKEND": "agg",
    # Threads that wait for each other sleep. Otherwise boosted trees take a hundred times as long beside another
    # program.
    "OMP_WAIT_POLICY": "PASSIVE",
}


def prepare_environment() -> None:
    """Turn telemetry and progress bars off, and set the folder of Bentos, where the user has not set the variable."""
    for name, value in {**DEFAULTS, "BENTOML_HOME": str(var() / "bentoml")}.items():
        os.environ.setdefault(name, value)
