"""Parts on a Dask cluster: each is predicted by a worker that reaches IN and OUT under the same paths.

The files of the bundle travel to the workers. The part of a worker that dies is predicted by another one.
"""

import hashlib
import logging
import os
import sys
import tempfile
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import pyarrow as pa
from distributed import Client, Future, as_completed, get_worker
from distributed.client import FutureCancelledError

from contracts.files import md5
from serving.batch.file import open_predictor
from serving.batch.parts import Finished, Part, predict_part
from serving.errors import Problem
from serving.predictor import Predictor

PACKAGES = ("distributed", "numpy", "onnxruntime", "pyarrow", "pydantic")
CONNECT_TIMEOUT = 5  # seconds that a scheduler has to answer


def resource() -> str:
    """The Dask resource of workers with this code and these packages, so that others get no parts."""
    root = Path(__file__).parents[2]
    files = sorted([*root.glob("serving/**/*.py"), *root.glob("contracts/**/*.py")])
    parts = [sys.version_info[:2], *map(version, PACKAGES), *((str(f.relative_to(root)), md5(f)) for f in files)]
    return f"predictions-{hashlib.sha256(repr(parts).encode()).hexdigest()[:12]}"


def predict_on(address: str, predictor: Predictor, parts: Sequence[Part]) -> list[Finished]:
    """Predict the parts on the workers of a scheduler, as many at the same time as they have room for.

    Raises:
        Problem: the errors of an invalid part.
        ValueError: a part cannot be read, or the cluster cannot be used.
    """
    for chatty in ("distributed", "distributed.client", "tornado"):
        logging.getLogger(chatty).setLevel(logging.CRITICAL)
    try:
        client = Client(address, timeout=CONNECT_TIMEOUT, set_as_default=False)
    except (OSError, TimeoutError, ValueError) as error:
        raise ValueError(
            f"no Dask scheduler answers at {address}: start one with `make scheduler` on that host, "
            f"or leave SCHEDULER out ({error})"
        ) from None
    with client, client.as_current():
        offered = [worker["resources"] for worker in client.scheduler_info()["workers"].values()]
        if not any(resource() in offer for offer in offered):
            command = f"make worker SCHEDULER={address}"
            print(f"no worker with this code and these packages yet: waiting for a `{command}`", flush=True)
        files = {path.name: path.read_bytes() for path in predictor.folder.iterdir()}
        # This is a task, so that Dask makes the result again if the only worker that has it dies.
        bundle: Future = client.submit(dict, files, pure=False)
        needs = {resource(): 1}
        futures = {client.submit(_predict, bundle, part, resources=needs, pure=False): part for part in parts}
        done: dict[Part, Finished] = {}
        for future in as_completed(futures):
            try:
                done[futures[future]] = future.result()
            except (Problem, ValueError, OSError, pa.ArrowException):
                raise
            except FutureCancelledError:
                raise ValueError(
                    f"the Dask scheduler at {address} is gone: start it and its workers again, and the same command "
                    f"goes on"
                ) from None
            except Exception as error:  # Dask's message about a worker that died repeatedly, or lacks this code
                raise ValueError(f"{futures[future].rows.name}: {type(error).__name__}: {error}") from None
    return [done[part] for part in parts]


def _predict(bundle: dict[str, bytes], part: Part) -> Finished:
    worker = get_worker()
    for path in (part.rows, part.unfinished):
        if not path.exists():
            raise ValueError(
                f"the worker at {worker.address} does not reach {path}: expected IN and OUT on storage that each "
                f"worker has under the same path"
            )
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with tempfile.TemporaryDirectory(dir=worker.local_directory) as folder:
        for name, content in bundle.items():
            (Path(folder) / name).write_bytes(content)
        return predict_part(open_predictor(Path(folder), max(1, cores // worker.state.nthreads)), part)
