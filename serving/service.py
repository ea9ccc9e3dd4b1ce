"""The Bento's service: packaging, processes and signals are BentoML's, what they serve is `serving.http.app`'s.

`bentoml serve` imports this in a process that only supervises and again in each worker. The first checks the
bundle, so that a damaged one stops the start; only a worker pays for the model.
"""

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import bentoml

from contracts.bundle import BundleDamaged, check_bundle
from serving.settings import SettingsWrong, read_settings

HOME = Path(__file__).parent.parent  # the Bento's root, beside the packages
# Only this machine, unless --host says otherwise; a container has an address of its own to be reached by.
HOST = "0.0.0.0" if os.environ.get("BENTOML_CONTAINERIZED") else "127.0.0.1"

IN_WORKER = any(argument.startswith("_bentoml_impl.worker") for argument in sys.orig_argv)
if not IN_WORKER:
    os.environ["SUPERVISOR_PID"] = str(os.getpid())

packaged = json.loads((HOME / "settings.json").read_text())
try:
    settings = read_settings()
    check_bundle(HOME / "bundle")
except (BundleDamaged, SettingsWrong) as error:
    sys.exit(f"cannot start: {error}")


# glibc returns memory over 128 KiB when it is freed, and asks anew for the next body: a page fault for every 4 KiB. And
# what is free in one thread is of no use to another.
MALLOC = {"MALLOC_MMAP_THRESHOLD_": "33554432", "MALLOC_TRIM_THRESHOLD_": "67108864", "MALLOC_ARENA_MAX": "1"}


class Bare(bentoml.Service):
    """A service without BentoML's middlewares, which cost more than the predictions they watch over.

    docs/decisions/0020-request-path.md has the figures.
    """

    def to_asgi(self, is_main: bool = True) -> Any:
        # One process counts in memory; several must share files.
        if packaged["workers"] == 1:
            os.environ.pop("PROMETHEUS_MULTIPROC_DIR", None)
        from bentoml._internal import server
        from uvicorn.protocols.http import auto

        from serving.http.app import make_app
        from serving.http.connections import Impatient
        from serving.metrics import Meters
        from serving.model import Model
        from serving.predictor import Predictor

        Impatient.patience, Impatient.most = settings.seconds, settings.body_bytes
        auto.AutoHTTPProtocol = Impatient  # BentoML starts uvicorn and offers no setting for it
        if IN_WORKER:
            threading.Thread(target=_end_with, args=[int(os.environ["SUPERVISOR_PID"])], daemon=True).start()
        predictor = Predictor(HOME / "bundle", bulk_threads=2)
        meters = Meters(predictor.schema.dataset, packaged["version"], predictor.schema.classes)
        model = Model(predictor, packaged["version"], packaged["expected"], settings.rows, meters)
        return make_app(model, settings, Path(server.__file__).parent / "static_content")


def _end_with(supervisor: int) -> None:
    """BentoML's workers outlive a supervisor that was killed, and keep its port; this one does not."""
    while os.getppid() == supervisor:
        time.sleep(0.5)
    os.kill(os.getpid(), signal.SIGTERM)


@bentoml.service(
    service_class=Bare,
    workers=packaged["workers"],
    http={"host": HOST},
    envs=[{"name": name, "value": value} for name, value in MALLOC.items()],
)
class Prediction:
    """Predictions of one model over HTTP."""
