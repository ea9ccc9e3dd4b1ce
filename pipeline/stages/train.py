"""train: search, with every trial tracked, and export the best as candidate bundles."""

import contextlib
from collections.abc import Callable

from contracts.settings.load import Params
from contracts.settings.sections import Fetch, Search
from models.search.workers.pool import Pool
from models.search.workers.temporary import use_own_folder
from pipeline.paths import Paths
from pipeline.search.plan import make_plan
from pipeline.tracking import databases


def _store(search: Search, fetch: Fetch, paths: Paths) -> Callable | None:
    """The function that copies rows to the store. It has copied the schema, so that a store that refuses files fails
    now.
    """
    if search.storage is None:
        return None
    from pipeline.sources.store import Store

    store = Store(search.storage, fetch.timeout, fetch.attempts)
    store.put({"schema.json": paths.prepared / "schema.json"})
    return store.put


def run(params: Params, paths: Paths) -> None:
    """Write `candidates/<rank>/`, best first, `trials.csv`, and the study's pictures."""
    plan = make_plan(params, paths)
    use_own_folder()
    with contextlib.ExitStack() as stack:
        cluster = None
        if plan.search.scheduler is not None:  # first, because without an answer nothing should start
            from models.search.workers.cluster import Cluster

            cluster = stack.enter_context(Cluster(plan.search.scheduler, _store(plan.search, params.fetch, paths)))
        pool = stack.enter_context(Pool(workers=plan.workers, ahead=cluster is None))
        # Imported only now, while the pool's process imports TensorFlow; both take many seconds.
        from pipeline.search.train import search_and_export

        stack.enter_context(databases.failures_explained())
        search_and_export(plan, paths, pool, cluster)
