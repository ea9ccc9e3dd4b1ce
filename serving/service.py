"""The Bento's service: BentoML packages it and runs its processes, `serving.http.app` answers its requests.

`bentoml serve` imports this module in a process that only supervises, and again in each worker. The supervisor checks
the bundle, so that a damaged one stops the start; only the workers load the model.
"""

import contextlib
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import bentoml

from contracts.bundle import BundleDamaged, check_bundle
from serving.settings import SettingsError, read_packaged, read_settings

BENTO = Path(__file__).parent.parent  # the folder with the packages, the bundle and settings.json
# Only this machine, unless --host names another address; a container is reached at its own address.
HOST = "0.0.0.0" if os.environ.get("BENTOML_CONTAINERIZED") else "127.0.0.1"  # noqa: S104
# By default glibc returns freed memory over 128 KiB to the system, so that each large body needs new pages. Requests
# per second of 1,000 images: 47 with these settings, 28 without (docs/decisions/0020-request-path.md).
MALLOC = {"MALLOC_MMAP_THRESHOLD_": "33554432", "MALLOC_TRIM_THRESHOLD_": "67108864", "MALLOC_ARENA_MAX": "1"}

IS_WORKER = any(argument.startswith("_bentoml_impl.worker") for argument in sys.orig_argv)
if not IS_WORKER:
    os.environ["SUPERVISOR_PID"] = str(os.getpid())

    with contextlib.suppress(ValueError):  # not the main thread, so nothing is served
        signal.signal(signal.SIGUSR2, lambda *_: os._exit(1))  # exit code of a worker that cannot load the model

try:
    packaged = read_packaged(BENTO / "settings.json")
    settings = read_settings()
    check_bundle(BENTO / "bundle")
except (BundleDamaged, SettingsError) as error:
    sys.exit(f"cannot start: {error}")


class AsgiService(bentoml.Service):
    """A BentoML service that answers with our ASGI application alone.

    BentoML's own middleware costs more than a prediction: 4,140 requests/s without it, 605 with it
    (docs/decisions/0020-request-path.md).
    """

    def to_asgi(self, is_main: bool = True) -> Any:
        if packaged.workers == 1:  # one worker counts in memory; several workers share files
            os.environ.pop("PROMETHEUS_MULTIPROC_DIR", None)
        import uvicorn
        from bentoml._internal import server

        from serving.http.app import make_app
        from serving.http.connections import uvicorn_options, within_open_files
        from serving.metrics import RequestMetrics
        from serving.model import ServedModel
        from serving.predictor import Predictor

        limited = within_open_files(settings)
        options, config = uvicorn_options(limited), uvicorn.Config
        # BentoML starts uvicorn and has no parameter for these options.
        uvicorn.Config = lambda **arguments: config(**arguments | options)  # type: ignore[assignment, misc]
        if IS_WORKER:
            supervisor = int(os.environ["SUPERVISOR_PID"])
            threading.Thread(target=_end_with_supervisor, args=[supervisor], daemon=True).start()
        try:
            predictor = Predictor(BENTO / "bundle", bulk_threads=2)
        except BundleDamaged as error:
            print(f"cannot start: {error}", file=sys.stderr, flush=True)
            if IS_WORKER:  # otherwise the supervisor would start worker after worker
                os.kill(supervisor, signal.SIGUSR2)
            sys.exit(1)
        metrics = RequestMetrics(predictor.schema.dataset, packaged.version, predictor.schema.classes)
        version, expected = packaged.version, packaged.expected
        model = ServedModel(predictor, version, expected, limited.max_rows, metrics, limited.timeout)
        return make_app(model, limited, Path(server.__file__).parent / "static_content", BENTO / "report.html")


def _end_with_supervisor(supervisor: int) -> None:
    """End this worker if its supervisor was killed: BentoML's workers would live on and keep the port."""
    while os.getppid() == supervisor:
        time.sleep(0.5)
    os.kill(os.getpid(), signal.SIGTERM)


@bentoml.service(
    service_class=AsgiService,
    workers=packaged.workers,
    http={"host": HOST},
    envs=[{"name": name, "value": value} for name, value in MALLOC.items()],
)
class Prediction:
    """Predictions of one model over HTTP."""
