"""Switches that the tools read from the environment when they are imported."""

import os

from pipeline.paths import var

SWITCHES = {
    "BENTOML_DO_NOT_TRACK": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "DO_NOT_TRACK": "true",
    "DVC_NO_ANALYTICS": "1",
    "GIT_PYTHON_REFRESH": "quiet",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "MPLBACKEND": "agg",
}


def prepare_environment() -> None:
    """Turn telemetry and chatter off, and give Bentos their place, unless the user said otherwise."""
    for name, value in {**SWITCHES, "BENTOML_HOME": str(var() / "bentoml")}.items():
        os.environ.setdefault(name, value)
