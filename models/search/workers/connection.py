"""The client of a Dask scheduler, and those of its workers that have this code."""

import logging
import time

import dask
from distributed import Client

from contracts.errors import UserError
from models.search.workers import cluster_code

CONNECT_TIMEOUT = 5  # seconds that a scheduler has to answer
POLL_SECONDS = 1.0  # seconds between two looks at the list of workers


class Connection:
    """A connection to a scheduler, which watches its workers: those with other code or packages get no tasks, and a
    line says so.

    A task that asks for `resource` runs on no other worker.

    Args:
        setting: the name of the setting with the address.
        tasks: what the workers do, as a plural noun.

    Raises:
        UserError: when no scheduler answers at the address, when it lacks this project, or when all of its workers have
            other code.
    """

    def __init__(self, address: str, setting: str, tasks: str) -> None:
        self.address, self.tasks = address, tasks
        for chatty in ("distributed", "tornado"):
            logging.getLogger(chatty).setLevel(logging.CRITICAL)
        dask.config.set({"distributed.admin.large-graph-warning-threshold": "1 TB"})  # rows are large
        try:
            self.client = Client(address, timeout=CONNECT_TIMEOUT, set_as_default=False)
        except (OSError, TimeoutError, ValueError) as error:
            raise UserError(
                f"no Dask scheduler answers at {address} ({setting}): start one with `make scheduler` on that "
                f"host, or set {setting}: null to use this machine ({error})"
            ) from None
        try:
            self.client.run_on_scheduler(cluster_code.resource)
        except Exception as error:
            self.client.close()
            raise UserError(
                f"the Dask scheduler at {address} cannot import this project: start it with `make scheduler` in a "
                f"checkout of the same commit ({error})"
            ) from None
        self.resource = cluster_code.resource()
        self._refused: set[str] = set()
        self._looked, self._room, self._waits = -POLL_SECONDS, 0, False
        if not self.room() and self._refused:
            self.client.close()
            raise UserError(f"no worker at {address} can run these {tasks}, see above")

    def room(self) -> int:
        """How many tasks the present workers with the same code run at the same time."""
        if time.monotonic() - self._looked >= POLL_SECONDS:
            self._room, self._looked = self._look_at_workers(), time.monotonic()
        return self._room

    def _look_at_workers(self) -> int:
        try:
            workers = self.client.scheduler_info()["workers"]
        except (OSError, RuntimeError):
            raise self.lost() from None
        make_worker = f"make worker SCHEDULER={self.address}"
        offers = {worker: int(about["resources"].get(self.resource, 0)) for worker, about in workers.items()}
        for worker in [worker for worker, offer in offers.items() if not offer and worker not in self._refused]:
            theirs = self.client.run(cluster_code.versions, workers=[worker], on_error="return")[worker]
            why = cluster_code.why_refused(theirs, make_worker)
            print(f"  the worker at {worker} gets no {self.tasks}: {why}", flush=True)
            self._refused.add(worker)
        room = sum(offers.values())
        if not room and not self._waits:
            print(f"  no worker at {self.address} yet: waiting for a `{make_worker}`", flush=True)
        self._waits = not room
        return room

    def lost(self) -> UserError:
        return UserError(
            f"the Dask scheduler at {self.address} is gone: start it and its workers again, and the same command "
            "goes on; what is finished is kept"
        )
